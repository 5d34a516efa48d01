"""A node's archiver, as its configuration and as a systemd unit. The file that comes of it holds a password: 0600."""

from __future__ import annotations

from outlive.cluster.plan.archive_command import socket_name
from outlive.cluster.spec import ArchiveSpec


def render(
    archive: ArchiveSpec, *, node: str, home: str, host: str, port: int, user: str, password: str, data: str, state: str
) -> dict[str, object]:
    """What the archiver is told. It logs in as the role that replicates, which may read no table."""
    return {
        "node": node,
        "data": data,
        "socket": socket_name(home),
        "state": state,
        "host": host,
        "port": port,
        "user": user,
        "password": password,
        "url": archive.url,
        "options_file": archive.options_file,
        "key_file": archive.key_file,
        "objective_s": archive.objective_s,
    }


def unit(python: str, home: str, account: str = "postgres") -> str:
    """The systemd unit that keeps an archiver running beside Patroni, under PostgreSQL's account."""
    return f"""\
[Unit]
Description=Outlive's WAL archiver
After=network-online.target
Wants=network-online.target

[Service]
User={account}
ExecStart={python} -m outlive.backup.archiver {home}/archiver.json
WorkingDirectory={home}
UMask=0077
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""

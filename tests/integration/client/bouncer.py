"""PgBouncer in transaction mode before one server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from conditions import eventually
from integration.client.servers import NAMES, PASSWORD, Servers
from outlive.postgres import identity
from outlive.postgres.plan.identity import Identity
from outlive.testing.ports import KeptPorts

PROGRAM = "/usr/sbin/pgbouncer"
SETTINGS = """
[databases]
* = host=127.0.0.1 port={server} user=postgres password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {root}/users
pool_mode = transaction
default_pool_size = {sessions}
min_pool_size = {sessions}
server_round_robin = 1
logfile = {root}/log
"""


@contextmanager
def bouncers(servers: Servers, sessions: int = 4) -> Iterator[str]:
    """PgBouncer before each server for as long as the block lasts; gives the DSN that goes through them.

    Each takes its sessions in turn, so that callers meet whatever another one left.
    """
    with ExitStack() as running:
        ports = {
            name: running.enter_context(
                bouncer(servers.root / f"bouncer-{name}", servers.ports[name], PASSWORD, servers.account, sessions)
            )
            for name in NAMES
        }
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports.values())
        yield f"postgresql://postgres:p%40ss%2Fw%3Ard@{hosts}/postgres?sslmode=disable"


@contextmanager
def bouncer(root: Path, server: int, password: str, account: Identity, sessions: int = 4) -> Iterator[int]:
    """PgBouncer before the server on this port for as long as the block lasts; the port that it listens on."""
    root.mkdir(exist_ok=True)
    (root / "users").write_text(f'"postgres" "{password}"\n')
    kept = KeptPorts()
    [port] = kept.take(1)
    (root / "ini").write_text(
        SETTINGS.format(server=server, port=port, root=root, sessions=sessions, password=password)
    )
    identity.own(account, [root, root / "users", root / "ini"])
    line, options = identity.command(account, [PROGRAM, str(root / "ini")])
    with (root / "out").open("w") as output:
        running = subprocess.Popen(line, stdout=output, stderr=output, cwd="/", **options)
    try:
        eventually(lambda: _listens(port))
        yield port
    finally:
        running.send_signal(signal.SIGINT)
        try:
            running.wait(5)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(5)
        kept.release()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def present() -> bool:
    """Whether this machine has it."""
    return shutil.which(PROGRAM) is not None and os.access(PROGRAM, os.X_OK)

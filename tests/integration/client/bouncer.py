"""PgBouncer in transaction mode before one server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from integration.client.servers import NAMES, PASSWORD, Servers, _free_ports
from outlive.postgres import identity

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
        ports = {name: running.enter_context(_bouncer(servers, name, sessions)) for name in NAMES}
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports.values())
        yield f"postgresql://postgres:p%40ss%2Fw%3Ard@{hosts}/postgres?sslmode=disable"


@contextmanager
def _bouncer(servers: Servers, name: str, sessions: int) -> Iterator[int]:
    root = servers.root / f"bouncer-{name}"
    root.mkdir(exist_ok=True)
    (root / "users").write_text(f'"postgres" "{PASSWORD}"\n')
    port = _free_ports(1)[0]
    server = servers.ports[name]
    (root / "ini").write_text(
        SETTINGS.format(server=server, port=port, root=root, sessions=sessions, password=PASSWORD)
    )
    identity.own(servers._identity, [root, root / "users", root / "ini"])
    line, options = identity.command(servers._identity, [PROGRAM, str(root / "ini")])
    with (root / "out").open("w") as output:
        running = subprocess.Popen(line, stdout=output, stderr=output, cwd="/", **options)
    try:
        yield port
    finally:
        running.send_signal(signal.SIGINT)
        try:
            running.wait(5)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(5)


def present() -> bool:
    """Whether this machine has it."""
    return shutil.which(PROGRAM) is not None and os.access(PROGRAM, os.X_OK)

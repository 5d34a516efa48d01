"""A server of PostgreSQL 15 that archives through pgBackRest into a repository beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from outlive.backup.pgbackrest import PgBackRest
from outlive.postgres import identity
from outlive.postgres.plan.identity import Identity
from outlive.testing.ports import KeptPorts

PROGRAMS = Path("/usr/lib/postgresql/15/bin")  # Debian's pgBackRest of this release knows no newer server
STANZA = "agents"
CONFIG = """
[global]
repo1-path={root}/repository
repo1-retention-full=2
lock-path={root}/lock
log-path={root}/log
spool-path={root}/spool
start-fast=y
job-retry=0
[{stanza}]
pg1-path={root}/data
pg1-port={port}
pg1-socket-path={root}
pg1-user=postgres
"""
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{root}'
shared_buffers = 16MB
fsync = off
archive_mode = on
archive_command = 'pgbackrest --config={root}/pgbackrest.conf --stanza={stanza} archive-push %p'
"""


def present() -> bool:
    """Whether this machine has both programs."""
    return shutil.which("pgbackrest") is not None and os.access(PROGRAMS / "postgres", os.X_OK)


@dataclass
class Stanza:
    """The server, its repository, and the engine over it; `root` is short, as a socket lies in it."""

    root: Path

    def __post_init__(self) -> None:
        self._kept = KeptPorts()
        [self.port] = self._kept.take(1)
        self.run_as: Identity = identity.decide(self.root, str(PROGRAMS))
        identity.own(self.run_as, [self.root])
        self.engine = PgBackRest(STANZA, self.root / "pgbackrest.conf", run_as=self.run_as)

    def start(self) -> None:
        """Make the server and the stanza, and start the server."""
        self._program("initdb", "-D", str(self.root / "data"), "-A", "trust", "-U", "postgres", "-k", "--no-sync")
        said = {"root": self.root, "port": self.port, "stanza": STANZA}
        (self.root / "pgbackrest.conf").write_text(CONFIG.format(**said))
        for name in ("log", "lock", "repository"):
            (self.root / name).mkdir()
        identity.own(
            self.run_as, [self.root / "pgbackrest.conf", *(self.root / n for n in ("log", "lock", "repository"))]
        )
        with (self.root / "data" / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS.format(**said))
        self.start_in(self.root / "data")
        self.run("pgbackrest", f"--config={self.root}/pgbackrest.conf", f"--stanza={STANZA}", "stanza-create")

    def start_in(self, data: Path) -> None:
        """Start the server on another data directory: what was restored, say."""
        self._program("pg_ctl", "-D", str(data), "-w", "-t", "60", "-s", "-l", str(self.root / "server.log"), "start")

    def stop_in(self, data: Path) -> None:
        """Stop it."""
        self._program("pg_ctl", "-D", str(data), "-w", "-m", "fast", "-s", "stop")

    def sql(self, text: str) -> str:
        """What a statement gives, as psql prints it."""
        address = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "postgres")
        return self._program("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *address, "-c", text)

    def _program(self, name: str, *arguments: str) -> str:
        return self.run(str(PROGRAMS / name), *arguments)

    def run(self, *line: str) -> str:
        """Run a program under the server's account."""
        command, options = identity.command(self.run_as, line)
        with (self.root / "programs.out").open("a") as output:
            done = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, stderr=output, text=True, cwd="/", timeout=120, **options
            )
        return str(done.stdout).strip()

    def destroy(self) -> None:
        """Stop whatever runs here."""
        for data in (self.root / "data", self.root / "restored"):
            if (data / "postmaster.pid").exists():
                self._program("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "-s", "stop")
        self._kept.release()

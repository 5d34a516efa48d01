"""A primary and two standbys of plain PostgreSQL, which the tests break without anything to repair them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from integration.client.waiting import until
from outlive.postgres import identity, programs
from outlive.postgres.plan.identity import Identity

PASSWORD = "p@ss/w:rd"
BUILTIN_LOCALES_SINCE = 17
STANDBYS = ("n2", "n3")
NAMES = ("n1", *STANDBYS)
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 16MB
max_connections = 60
fsync = off
wal_log_hints = on
wal_keep_size = 256MB
wal_retrieve_retry_interval = 100ms
client_connection_check_interval = 500ms
synchronous_standby_names = 'ANY 1 (n2,n3)'
"""


@dataclass
class Servers:
    """Three servers under `root`; n1 begins as the primary. `programs` are those of another release."""

    root: Path
    ports: dict[str, int] = field(default_factory=dict)
    programs: Path | None = None

    def __post_init__(self) -> None:
        self._bin = programs.directory(self.programs)
        self._identity = identity.decide(self.root, str(self._bin))
        identity.own(self._identity, [self.root])
        self.ports = dict(zip(NAMES, _free_ports(len(NAMES)), strict=True))
        self._stopped: set[int] = set()

    @property
    def account(self) -> Identity:
        """Under which account the servers run."""
        return self._identity

    def dsn(self, user: str = "postgres", names: tuple[str, ...] = NAMES, database: str = "postgres") -> str:
        """The DSN of these nodes."""
        hosts = ",".join(f"127.0.0.1:{self.ports[name]}" for name in names)
        return f"postgresql://{user}:p%40ss%2Fw%3Ard@{hosts}/{database}?sslmode=disable"

    def create(self) -> None:
        """Make the data of all three; none is left running."""
        self.create_alone()
        for name in STANDBYS:
            self.copy(name)
        self.stop("n1", "fast")

    def create_alone(self) -> None:
        """Make and start n1, a cluster of its own."""
        (self.root / "password").write_text(PASSWORD)
        identity.own(self._identity, [self.root / "password"])
        self._make("n1")
        with (self.root / "n1" / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        with (self.root / "n1" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n")
        self.start("n1")

    def start_copies(self, template: Path) -> None:
        """Start all three on copies of the data that another one has made."""
        line, options = identity.command(self._identity, ["cp", "-r", *(str(template / name) for name in NAMES)])
        subprocess.run([*line, str(self.root)], check=True, timeout=60, **options)
        for name in STANDBYS:
            self.follow(name, "n1")
        with ThreadPoolExecutor(len(NAMES)) as starting:
            list(starting.map(self.start, NAMES))

    def _make(self, name: str) -> None:
        builtin = programs.major_version(self._bin) >= BUILTIN_LOCALES_SINCE
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if builtin else ["--locale=C"]
        self._run("initdb", "-D", str(self.root / name), *locale, "--encoding=UTF8", "-U", "postgres",
                  "-A", "scram-sha-256", f"--pwfile={self.root / 'password'}", "--no-sync")  # fmt: skip

    def copy(self, name: str) -> None:
        """Make a standby of the primary, which runs; it is not started."""
        source = ("-h", "127.0.0.1", "-p", str(self.ports["n1"]), "-U", "postgres")
        self._run("pg_basebackup", *source, "-D", str(self.root / name), "-X", "stream", "-c", "fast", "--no-sync")
        (self.root / name / "standby.signal").touch()
        identity.own(self._identity, [self.root / name / "standby.signal"])

    def follow(self, name: str, primary: str) -> None:
        """Point a standby that is stopped at its primary."""
        with (self.root / name / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = '{self._source(name, primary)}'\n")

    def _source(self, name: str, primary: str) -> str:
        port = self.ports[primary]
        return f"host=127.0.0.1 port={port} user=postgres password={PASSWORD} application_name={name}"

    def start(self, name: str) -> None:
        """Start a server and wait until it accepts connections."""
        self._ctl(name, "-w", "-l", str(self.root / f"{name}.log"), "-o", f"-p {self.ports[name]}", "start")

    def stop(self, name: str, mode: str = "immediate") -> None:
        """Stop a server; nothing to do if it does not run."""
        self.thaw(name)
        if self.pids(name):
            self._ctl(name, "-w", "-m", mode, "stop")

    def promote(self, name: str) -> None:
        """Make a standby the primary, and wait until it is."""
        self._ctl(name, "-w", "promote")

    def kill(self, name: str) -> None:
        """SIGKILL the postmaster and everything under it."""
        self._signal(name, signal.SIGKILL)

    def freeze(self, name: str) -> None:
        """SIGSTOP every process of a server."""
        self._stopped.update(self._signal(name, signal.SIGSTOP))

    def thaw(self, name: str) -> None:
        """Let a frozen server go on."""
        self._stopped.difference_update(self._signal(name, signal.SIGCONT))

    def pids(self, name: str) -> list[int]:
        """The processes of a server, the postmaster first."""
        try:
            postmaster = int((self.root / name / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return []
        return [postmaster, *_children(postmaster)] if Path(f"/proc/{postmaster}").exists() else []

    async def session(self, name: str) -> asyncpg.Connection:
        """A bare session on one server, as its superuser."""
        return await asyncpg.connect(
            host="127.0.0.1", port=self.ports[name], user="postgres", password=PASSWORD, database="postgres", ssl=False
        )

    async def sql(self, name: str, *statements: str) -> object:
        """Run statements on one server as its superuser; the first value of the last one."""
        connection = await self.session(name)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    async def configure(self, name: str, **settings: str) -> None:
        """Change settings of a running server, and wait until a new session has them."""
        changes = [f"alter system set {key} = '{value}'" for key, value in settings.items()]
        await self.sql(name, *changes, "select pg_reload_conf()")
        for key, value in settings.items():
            seen = f"select setting = '{value}' from pg_settings where name = '{key}'"
            await until(lambda seen=seen: self._says(name, seen))  # type: ignore[misc]

    async def _says(self, name: str, question: str) -> bool:
        return await self.sql(name, question) is True

    async def follow_live(self, name: str, primary: str) -> None:
        """Point a running standby at its primary."""
        await self.configure(name, primary_conninfo=self._source(name, primary))

    async def fail_over(self) -> str:
        """Promote the standby that has received most, as Patroni does, and let the other follow; the new primary.

        With quorum commit either may be ahead, and one that is ahead of the new primary could not follow it.
        """
        received = {name: await self.sql(name, "select pg_last_wal_receive_lsn() - '0/0'") for name in ("n2", "n3")}
        other, new = sorted(received, key=lambda name: str(received[name]).zfill(30))
        await asyncio.to_thread(self.promote, new)
        await self.follow_live(other, new)
        await self.configure(new, synchronous_standby_names=f"ANY 1 ({other})")
        return new

    def destroy(self) -> None:
        """Kill whatever runs and remove the data."""
        for name in NAMES:
            self.kill(name)
        shutil.rmtree(self.root, ignore_errors=True)

    def _ctl(self, name: str, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.root / name), "-t", "30", "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        line, options = identity.command(self._identity, [str(self._bin / program), *arguments])
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        with (self.root / f"{program}.out").open("a") as output:
            subprocess.run(
                line, check=True, stdout=output, stderr=output, cwd="/", env=environment, timeout=60, **options
            )

    def _signal(self, name: str, which: signal.Signals) -> list[int]:
        pids = self.pids(name)
        for pid in pids:
            try:
                os.kill(pid, which)
            except ProcessLookupError:
                continue
        return pids


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports

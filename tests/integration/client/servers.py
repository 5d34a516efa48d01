"""A primary and two standbys of plain PostgreSQL, which the tests break without anything to repair them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from conditions import eventually
from integration.client.waiting import until
from outlive.postgres import identity, programs
from outlive.postgres.plan.identity import Identity
from outlive.testing.ports import KeptPorts

PASSWORD = "p@ss/w:rd"
BUILTIN_LOCALES_SINCE = 17
LIMIT_S = 120
RUN_LIMIT_S = 300
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
        self._kept = KeptPorts()
        self.ports = dict(zip(NAMES, self._kept.take(len(NAMES)), strict=True))
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
        subprocess.run([*line, str(self.root)], check=True, timeout=RUN_LIMIT_S, **options)
        for name in STANDBYS:
            self.follow(name, "n1")
        with ThreadPoolExecutor(len(NAMES)) as starting:
            list(starting.map(self.start, NAMES))
        asyncio.run(self.followed())

    async def followed(self) -> None:
        """Wait until every standby streams from n1: one that takes connections may not have begun to."""
        streaming = "select count(*) = 2 from pg_stat_replication where state = 'streaming'"
        await until(lambda: self._says("n1", streaming), LIMIT_S)

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
        # One that was killed counts as running, to PostgreSQL, until its parent has heard of its death.
        eventually(lambda: not Path(f"/proc/{self._postmaster(name)}").exists())
        try:
            self._ctl(name, "-w", "-l", str(self.root / f"{name}.log"), "-o", f"-p {self.ports[name]}", "start")
        except subprocess.CalledProcessError:
            said = (self.root / f"{name}.log").read_text()[-2000:]
            raise AssertionError(f"{name} did not start: {said}") from None

    def stop(self, name: str, mode: str = "immediate") -> None:
        """Stop a server; nothing to do if it does not run."""
        self.thaw(name)
        if self.pids(name):
            self._ctl(name, "-w", "-m", mode, "stop")

    def promote(self, name: str) -> None:
        """Make a standby the primary, and wait until it is."""
        self._ctl(name, "-w", "promote")

    def kill(self, name: str) -> None:
        """SIGKILL every process of a server; none lives on, which the next start would find in its shared memory."""
        eventually(lambda: not self._signal(name, signal.SIGKILL))

    def freeze(self, name: str) -> None:
        """SIGSTOP every process of a server, one that was being forked meanwhile too."""
        while not self._stopped.issuperset(found := self._signal(name, signal.SIGSTOP)):
            self._stopped.update(found)

    def thaw(self, name: str) -> None:
        """Let a frozen server go on."""
        self._stopped.difference_update(self._signal(name, signal.SIGCONT))

    def pids(self, name: str) -> list[int]:
        """The processes of a server, the postmaster first."""
        postmaster = self._postmaster(name)
        return sorted(_serving(self.root / name), key=lambda pid: pid != postmaster)

    def _postmaster(self, name: str) -> int:
        """By the file that it keeps while it runs, and that one which is killed leaves behind; 0 without one."""
        try:
            return int((self.root / name / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return 0

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

        With quorum commit either may be ahead, and one that is ahead of the new primary could not follow it. So both
        are cut off from the old one before they are asked: what is still on its way to one would come in afterwards.
        """
        for name in STANDBYS:
            await self.configure(name, primary_conninfo="")
        for name in STANDBYS:
            await until(lambda name=name: self._says(name, "select count(*) = 0 from pg_stat_wal_receiver"))  # type: ignore[misc]
        position = "select (greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0')::bigint"
        received = {name: await self.sql(name, position) for name in STANDBYS}
        other, new = sorted(received, key=lambda name: int(str(received[name])))
        await asyncio.to_thread(self.promote, new)
        await self.follow_live(other, new)
        await self.configure(new, synchronous_standby_names=f"ANY 1 ({other})")
        return new

    def destroy(self) -> None:
        """Kill whatever runs and remove the data."""
        for name in NAMES:
            self.kill(name)
        self._kept.release()
        shutil.rmtree(self.root, ignore_errors=True)

    def _ctl(self, name: str, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.root / name), "-t", str(LIMIT_S), "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        line, options = identity.command(self._identity, [str(self._bin / program), *arguments])
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        with (self.root / f"{program}.out").open("a") as output:
            subprocess.run(
                line, check=True, stdout=output, stderr=output, cwd="/", env=environment, timeout=RUN_LIMIT_S, **options
            )

    def _signal(self, name: str, which: signal.Signals) -> list[int]:
        pids = self.pids(name)
        for pid in pids:
            try:
                os.kill(pid, which)
            except ProcessLookupError:
                continue
        return pids


def _serving(data: Path) -> Iterator[int]:
    """The processes of PostgreSQL over these data; one whose postmaster is dead is found too, a dead one is not."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == data and (process / "exe").readlink().name == "postgres":
                yield int(process.name)

"""A PostgreSQL of either release and perhaps a standby of it, for backups to be taken from."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from integration.client.waiting import until
from outlive.model.topology import Address
from outlive.postgres import identity, programs
from outlive.postgres.access import Access, Login
from outlive.postgres.plan.identity import Identity
from outlive.testing.ports import KeptPorts

PASSWORD = "s3cret/of:the+server"
REPLAY_LIMIT_S = 120.0
OLD = Path("/usr/lib/postgresql/15/bin")
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 32MB
fsync = off
wal_keep_size = 64MB
max_wal_senders = 10
wal_retrieve_retry_interval = 100ms
"""
# What depends on nothing of the server's release. A fixture `release` in a module would leave `server` as it was.
newest = pytest.mark.parametrize("release", ["18"], indirect=True)


@dataclass
class OneServer:
    """A primary in `root/primary`; `follow` adds a standby in `root/standby`."""

    root: Path
    bin: Path
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root.chmod(0o755)
        self._kept = KeptPorts()
        self._identity = identity.decide(self.root, str(self.bin))
        identity.own(self._identity, [self.root])
        self.major = programs.major_version(self.bin)

    @property
    def account(self) -> Identity:
        """Under which account the servers run."""
        return self._identity

    @property
    def access(self) -> Access:
        """How all of its servers are reached."""
        addresses = tuple(Address("127.0.0.1", port) for port in self.ports.values())
        login = Login("postgres", PASSWORD)
        return Access(addresses, login, login, "postgres", (("sslmode", "disable"),))

    @property
    def dsn(self) -> str:
        """The same for a command; the password comes from the environment."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports.values())
        return f"postgresql://postgres@{hosts}/postgres?sslmode=disable"

    def create(self) -> None:
        """Make it and start it."""
        (self.root / "password").write_text(PASSWORD)
        identity.own(self._identity, [self.root / "password"])
        self._run("initdb", "-D", str(self.root / "primary"), "--encoding=UTF8", "--locale=C", "-k", "-U", "postgres",
                  "-A", "scram-sha-256", f"--pwfile={self.root / 'password'}", "--no-sync")  # fmt: skip
        with (self.root / "primary" / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS + ("summarize_wal = on\n" if self.major >= 17 else ""))
        with (self.root / "primary" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n")
        self.start("primary")

    def follow(self) -> None:
        """Add a standby."""
        source = ("-h", "127.0.0.1", "-p", str(self.ports["primary"]), "-U", "postgres")
        data = self.root / "standby"
        self._run("pg_basebackup", *source, "-D", str(data), "-X", "stream", "-c", "fast", "--no-sync")
        (data / "standby.signal").touch()
        identity.own(self._identity, [data / "standby.signal"])
        conninfo = f"host=127.0.0.1 port={self.ports['primary']} user=postgres password={PASSWORD}"
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = '{conninfo}'\n")
        self.start("standby")

    def start(self, name: str) -> None:
        """Start one and wait until it takes connections."""
        if name not in self.ports:
            [self.ports[name]] = self._kept.take(1)
        self._run("pg_ctl", "-D", str(self.root / name), "-w", "-l", str(self.root / f"{name}.log"),
                  "-o", f"-p {self.ports[name]}", "start")  # fmt: skip

    def stop(self, name: str = "primary", mode: str = "immediate") -> None:
        """Stop one; nothing to do if it doesn't run."""
        if (self.root / name / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self.root / name), "-w", "-m", mode, "stop")

    def promote(self, name: str = "standby") -> None:
        """Make it the primary."""
        self._run("pg_ctl", "-D", str(self.root / name), "-w", "promote")

    def remove(self) -> None:
        """Stop all of it; the data may go."""
        for name in reversed(self.ports):
            self.stop(name)
        self._kept.release()

    async def sql(self, *statements: str, name: str = "primary") -> object:
        """Run statements; the first value of the last one."""
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.ports[name], user="postgres", password=PASSWORD, database="postgres", ssl=False
        )
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    async def caught_up(self) -> None:
        """Wait until the standby has replayed all that the primary has written."""
        lsn = await self.sql("SELECT pg_current_wal_insert_lsn()::text")
        # What nobody has flushed is not sent, and behind a page's header nothing ends before the next record does.
        await self.sql("SELECT pg_logical_emit_message(true, 'test', 'flushes what is before it')")
        there = f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn"
        await until(lambda: self._says(there), REPLAY_LIMIT_S)

    async def _says(self, question: str) -> bool:
        return await self.sql(question, name="standby") is True

    def run_on(self, data: Path, *statements: str) -> list[str]:
        """Start a server on a data directory that was brought back, ask it, and stop it."""
        [port] = self._kept.take(1)
        shutil.copytree(data, copy := self.root / f"restored-{port}")
        line, options = identity.command(self._identity, ["chmod", "-R", "go=", str(copy)])
        subprocess.run(["chown", "-R", str(options.get("user", os.getuid())), str(copy)], check=True)
        subprocess.run(line, check=True, **options)
        settings = f"-p {port} -c archive_mode=off -c hot_standby=on"
        self._run("pg_ctl", "-D", str(copy), "-w", "-l", str(self.root / f"{port}.log"), "-o", settings, "start")
        try:
            environment = {**os.environ, "PGPASSWORD": PASSWORD}
            asked = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-AtXq", "-c"]
            return [
                subprocess.run(
                    [str(self.bin / "psql"), *asked, statement], check=True, env=environment, capture_output=True,
                    text=True, timeout=60,
                ).stdout.strip()
                for statement in statements
            ]  # fmt: skip
        finally:
            self._run("pg_ctl", "-D", str(copy), "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        line, options = identity.command(self._identity, [str(self.bin / program), *arguments])
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        with (self.root / f"{program}.out").open("a") as output:
            subprocess.run(
                line, check=True, stdout=output, stderr=output, cwd="/", env=environment, timeout=90, **options
            )

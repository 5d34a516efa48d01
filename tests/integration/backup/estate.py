"""A server whose backups and WAL go to S3, encrypted, and the commands of `outlive` beside it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from integration.backup.archiving import Archiving
from integration.backup.hand_made import now
from integration.client.servers import PASSWORD, Servers
from integration.client.waiting import until
from outlive.backup.keys import load_keyring
from outlive.backup.observation import observe
from outlive.postgres import postmaster
from outlive.testing.object_store import SeaweedFS

KEY = base64.b64encode(b"the key of this estate's backups").decode()
LIMIT_S = 150.0


@dataclass(frozen=True)
class Estate:
    """What one has: a server, its archive, a place for what is restored."""

    servers: Servers
    archiving: Archiving
    s3: SeaweedFS
    room: Path
    programs: Path
    key: str = KEY
    apart: str | None = None
    """A prefix of its own for what the commands store, instead of where the WAL goes."""

    @property
    def dsn(self) -> str:
        """The live server's."""
        return self.servers.dsn(names=("n1",))

    async def outlive(self, *arguments: str | Path, status: int = 0, stored: bool = True) -> str:
        """Run a command, with the store unless not `stored`; what it printed, or, where it is to fail, what it said."""
        place = self.place if stored else ()
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "outlive.cli.main", *map(str, arguments), *place], check=False,
            capture_output=True, text=True, timeout=LIMIT_S, env=self.environment,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    async def told(self, *arguments: str | Path) -> dict[str, Any]:
        """The same in JSON."""
        said = json.loads(await self.outlive(*arguments, "--json"))
        assert isinstance(said, dict)
        return said

    @property
    def place(self) -> Sequence[str]:
        """Where the store is; nowhere is a local cluster."""
        options = ("--storage-options", str(self.s3.options_file()), "--dir", str(self.room / "none"))
        return ("--storage", self.archiving.url if self.apart is None else self.s3.url(prefix=self.apart), *options)

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs besides."""
        return {**os.environ, "OUTLIVE_BACKUP_KEY": self.key, "PGPASSWORD": PASSWORD}

    async def written(self, statement: str) -> datetime:
        """Run a statement; a moment at which it is committed, and nothing after it."""
        await self.servers.sql("n1", statement, "select 1")
        return now()

    async def arrived(self, at: datetime) -> None:
        """Wait until the store proves that it has all that was committed until then."""

        async def there() -> bool:
            store = self.archiving.deposit().store
            try:
                _, material = await observe(store, load_keyring(None, {"OUTLIVE_BACKUP_KEY": KEY}))
            finally:
                await store.close()
            return any(each.at >= at for each in material.facts.archive.covered)

        await until(there, LIMIT_S)

    async def numbers(self, port: int) -> list[int]:
        """What the table of a restored server holds."""
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user="postgres", password=PASSWORD, database="postgres", ssl=False
        )
        try:
            return [row[0] for row in await connection.fetch("select number from entries order by number")]
        finally:
            await connection.close()

    async def stopped(self, data: Path) -> None:
        """Stop a server that was started on restored data."""
        pid = postmaster.running_pid(data)
        assert pid is not None
        os.kill(pid, 2)
        await until(lambda: not postmaster.runs(data), LIMIT_S)


@contextmanager
def an_estate(s3: SeaweedFS, release: Path, name: str) -> Iterator[Estate]:
    """One of that release, in a prefix of its own."""
    with tempfile.TemporaryDirectory(prefix="outlive-estate-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        home.chmod(0o755)
        (home / "servers").mkdir(mode=0o700)
        (home / "room").mkdir()
        (home / "key").write_text(KEY)
        servers = Servers(home / "servers", programs=release)
        try:
            servers.create_alone()
            archiving = Archiving(servers, s3.url("outlive", name), s3.options_file(), home / "key")
            archiving.start()
            try:
                asyncio.run(archiving.configure())
                yield Estate(servers, archiving, s3, home / "room", release)
            finally:
                archiving.stop()
        finally:
            servers.destroy()

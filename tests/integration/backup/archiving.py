"""A server of plain PostgreSQL with an archiver beside it, each of which the tests can kill alone."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from integration.client.servers import PASSWORD, Servers
from integration.client.waiting import until
from outlive.backup import archive_client
from outlive.backup.archiver_files import ArchiverConfig, ArchiverState, read_state
from outlive.backup.codec import Codec
from outlive.backup.deposit import Deposit
from outlive.backup.keys import load_keyring
from outlive.backup.plan.archived import Archived, read_listing
from outlive.object_storage.opening import open_store
from outlive.object_storage.options import StoreOptions, read_options
from outlive.postgres import identity

LIMIT_S = 120.0
"""PostgreSQL asks again a minute later if the archiver does not answer three times, as while it starts."""
READER_TIMEOUT_S = 60.0
"""However impatient an archiver is told to be, what is looked at afterwards may take its time."""


@dataclass
class Archiving:
    """The archivers of some servers; the store is a directory below the servers', or what `url` says."""

    servers: Servers
    url: str = ""
    options_file: Path | None = None
    key_file: Path | None = None
    objective_s: float = 5.0
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.servers.root / "archive"
        self.home.mkdir(mode=0o700)
        self.url = self.url or f"file://{self.home}/store"
        copies = [self.home]
        for name in ("options_file", "key_file"):
            given: Path | None = getattr(self, name)
            if given is not None:  # the servers' account must be able to read it
                copy = self.home / given.name
                copy.write_bytes(given.read_bytes())
                copies.append(copy)
                setattr(self, name, copy)
        identity.own(self.servers.account, copies)

    def config(self, name: str) -> ArchiverConfig:
        """What the archiver of that server is told."""
        return ArchiverConfig(
            node=name,
            data=str(self.servers.root / name),
            socket=f"outlive-test-{self.servers.ports[name]}",
            state=str(self.home / f"{name}.json"),
            url=self.url,
            port=self.servers.ports[name],
            user="postgres",
            password=PASSWORD,
            options_file=str(self.options_file) if self.options_file else None,
            key_file=str(self.key_file) if self.key_file else None,
            objective_s=self.objective_s,
        )

    def command(self, name: str) -> str:
        """The archive command of that server."""
        client = [sys.executable, "-ISs", archive_client.__file__, self.config(name).socket]
        return f"exec {shlex.join(client)} %f".replace("'", "''")

    def settings(self, name: str) -> Mapping[str, str]:
        """What the server is given, by the command line of `start`: it lasts until the next start."""
        return {
            "archive_mode": "always",
            "archive_command": self.command(name),
            "synchronous_standby_names": "",
        }

    def start(self, name: str = "n1") -> None:
        """Start the archiver."""
        path = self.home / f"{name}.config"
        path.write_bytes(msgspec.json.encode(self.config(name)))
        path.chmod(0o600)
        identity.own(self.servers.account, [path])
        line, options = identity.command(
            self.servers.account, [sys.executable, "-m", "outlive.backup.archiver", str(path)]
        )
        with (self.home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                line, stdout=log, stderr=log, cwd="/", env=self._environment(), **options
            )

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"}

    def pid(self, name: str = "n1") -> int:
        """The archiver's process."""
        return self._processes[name].pid

    def kill(self, name: str = "n1", which: signal.Signals = signal.SIGKILL) -> None:
        """End the archiver, by SIGKILL unless told otherwise; nothing to do if it does not run."""
        process = self._processes.pop(name, None)
        if process is not None:
            process.send_signal(which)
            process.wait(LIMIT_S)

    def clients(self, name: str = "n1") -> list[int]:
        """The archive clients that run."""
        socket, found = self.config(name).socket.encode(), []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (process / "cmdline").read_bytes()
                if b"archive_client.py" in line and socket in line:
                    found.append(int(process.name))
        return found

    def kill_clients(self, name: str = "n1") -> None:
        """SIGKILL the archive clients that run; one may be done between the look and the kill."""
        for pid in self.clients(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End all archivers."""
        for name in list(self._processes):
            self.kill(name)

    def state(self, name: str = "n1") -> ArchiverState:
        """What the archiver says of itself."""
        state = read_state(Path(self.config(name).state))
        assert state is not None, "the archiver has not said anything"
        return state

    def is_failing(self, name: str = "n1") -> bool:
        """Whether the archiver that runs now says that its store fails; not one that was there before it."""
        state = self.state(name)
        return state.pid == self.pid(name) and state.failing_since is not None

    def log(self, name: str = "n1") -> str:
        """What it has told."""
        return (self.home / f"{name}.log").read_text()

    async def configure(self, name: str = "n1") -> None:
        """Make the server archive; restarts it."""
        await self.servers.sql(
            name, *(f"alter system set {key} = '{value}'" for key, value in self.settings(name).items()), "select 1"
        )
        await asyncio.to_thread(self.servers.stop, name, "fast")
        await asyncio.to_thread(self.servers.start, name)

    def deposit(self) -> Deposit:
        """The store, as a reader sees it."""
        options = read_options(self.options_file) if self.options_file else StoreOptions()
        patient = replace(options, timeout_s=max(options.timeout_s, READER_TIMEOUT_S))
        return Deposit(open_store(self.url, patient), Codec(keyring=load_keyring(self.key_file, {})))

    async def archived(self) -> Archived:
        """What is in the store."""
        deposit = self.deposit()
        try:
            return read_listing([(facts.key, facts.size_bytes) async for facts in deposit.store.list("wal")])
        finally:
            await deposit.store.close()

    async def switch(self, name: str = "n1") -> str:
        """Finish the segment that is being written; its name."""
        return str(
            await self.servers.sql(
                name, "select pg_logical_emit_message(false, 'test', 'x')", "select pg_walfile_name(pg_switch_wal())"
            )
        )

    async def has(self, segment_name: str) -> bool:
        """Whether the store has that segment as a whole."""
        return segment_name in {segment.name for segment in (await self.archived()).segments}

    async def wait_for(self, segment_name: str, limit_s: float = LIMIT_S) -> None:
        """Wait until the store has that segment as a whole; the archiver's own words tell why it does not."""
        try:
            await until(lambda: self.has(segment_name), limit_s)
        except TimeoutError:
            raise AssertionError(f"{segment_name} did not arrive; the archiver: {self.log()[-3000:]}") from None

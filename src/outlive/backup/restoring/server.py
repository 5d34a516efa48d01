"""A server of the restore's own: it recovers, is asked, and is stopped. Nobody else reaches it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from outlive import system
from outlive.backup.plan import recovery_settings
from outlive.backup.plan.failures import read_log
from outlive.backup.plan.recovery_settings import Settings
from outlive.backup.restoring.sockets import socket_directory
from outlive.backup.restoring.workspace import Workspace
from outlive.errors import BackupError
from outlive.postgres import postmaster
from outlive.postgres.identity import command, own
from outlive.postgres.tether import tethered

PORT = 5432
"""Only names the socket: there is no TCP port."""
STOP_LIMIT_S = 120.0
CONNECT_LIMIT_S = 30.0
SUPERUSER = "postgres"
_POLL_S = 0.02
_LOG_BYTES = 256 * 1024


class RecoveryGaveUpError(Exception):
    """The server ended before it was ready; `failure` is what its log says."""

    def __init__(self, log: str) -> None:
        self.failure = read_log(log)
        super().__init__(self.failure.words)


@dataclass(slots=True)
class PrivateServer:
    """A server on `workspace.data`; `sockets` is a directory that only its account can enter."""

    workspace: Workspace
    programs: Path
    major: int
    sockets: Path
    _process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self, settings: Settings) -> None:
        """Start it, with these settings besides those that keep it to itself."""
        text = recovery_settings.render(
            recovery_settings.isolated(str(self.sockets), PORT, self.major) | dict(settings)
        )
        self._write("postgresql.conf", text)
        self._write("pg_hba.conf", recovery_settings.SUPERUSERS_RULES)
        self._write("pg_ident.conf", "")
        program = [str(self.programs / "postgres"), "-D", str(self.workspace.data)]
        program += ["-c", f"config_file={self.sockets}/postgresql.conf"]
        # A restore that is killed leaves no server behind: nobody else knows of it.
        line, options = command(self.workspace.identity, tethered(program, "QUIT"))
        self.workspace.log.touch(mode=0o600)
        own(self.workspace.identity, [self.workspace.log])
        with self.workspace.log.open("ab") as log:
            self._process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=_environment(),
                start_new_session=True, **options,
            )  # fmt: skip

    async def wait_until_ready(self, limit_s: float, watch: Callable[[], None]) -> None:
        """Return once it has recovered and is a primary; `watch` is called now and then, and may raise.

        Raises:
            RecoveryGaveUpError: it ended instead.
            BackupError: it did neither within `limit_s` seconds.
        """
        assert self._process is not None, "it was started"
        until = system.monotonic() + limit_s
        while postmaster.status(self.workspace.data) != postmaster.READY:
            watch()
            if self._process.poll() is not None:
                raise RecoveryGaveUpError(self.log_text())
            if system.monotonic() > until:
                raise BackupError(f"the server did not recover within {limit_s:.0f} s", hint="Raise --timeout.")
            await asyncio.sleep(_POLL_S)

    async def wait_until_paused(self, limit_s: float) -> None:
        """Return once its recovery stands still at its target.

        Raises:
            RecoveryGaveUpError: it ended instead.
            BackupError: it did neither within `limit_s` seconds.
        """
        assert self._process is not None, "it was started"
        until = system.monotonic() + limit_s
        while not await self._is_paused():
            if self._process.poll() is not None:
                raise RecoveryGaveUpError(self.log_text())
            if system.monotonic() > until:
                raise BackupError(f"the server did not recover within {limit_s:.0f} s")
            await asyncio.sleep(_POLL_S)

    async def _is_paused(self) -> bool:
        if postmaster.status(self.workspace.data) != postmaster.READY:
            return False
        try:
            connection = await self.connect()
            try:
                return bool(await connection.fetchval("SELECT pg_get_wal_replay_pause_state() = 'paused'"))
            finally:
                connection.terminate()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return False  # it is ending, which the caller sees by its process

    async def stop(self) -> None:
        """Stop it in order, and without waiting for it any longer if that takes too long; may be called twice."""
        process = self._process
        if process is None:
            return
        for which, limit_s in ((signal.SIGINT, STOP_LIMIT_S), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            if process.poll() is None:
                process.send_signal(which)
                await _ended(process, limit_s)
        self._process = None

    async def connect(self, database: str = "postgres") -> asyncpg.Connection:
        """A connection as the server's superuser."""
        try:
            return await asyncpg.connect(
                host=str(self.sockets), port=PORT, user=SUPERUSER, database=database, timeout=CONNECT_LIMIT_S, ssl=False
            )
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise BackupError(f"the restored server does not let {SUPERUSER} in: {error}") from error

    def log_text(self) -> str:
        """The end of its log."""
        try:
            with self.workspace.log.open("rb") as file:
                file.seek(max(0, self.workspace.log.stat().st_size - _LOG_BYTES))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _write(self, name: str, text: str) -> None:
        path = self.sockets / name
        path.write_text(text)
        path.chmod(0o600)
        own(self.workspace.identity, [path])


@asynccontextmanager
async def private_server(workspace: Workspace, programs: Path, major: int) -> AsyncIterator[PrivateServer]:
    """A server that is not started yet; whatever runs of it at the block's end is stopped."""
    with socket_directory() as sockets:
        own(workspace.identity, [sockets])
        server = PrivateServer(workspace, programs, major, sockets)
        try:
            yield server
        finally:
            await asyncio.shield(server.stop())


async def _ended(process: subprocess.Popen[bytes], limit_s: float) -> None:
    until = system.monotonic() + limit_s
    while process.poll() is None and system.monotonic() < until:  # noqa: ASYNC110 - a process has no event
        await asyncio.sleep(_POLL_S)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C.UTF-8"}

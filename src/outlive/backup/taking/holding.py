"""A session at the server that a backup comes from: it keeps others away, keeps the WAL, and tells how far it is.

What it holds goes with the session, so that nothing is left behind by a process that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import asyncpg

from outlive import system
from outlive.backup.plan.source import ServerFacts
from outlive.backup.taking.progress import Meter
from outlive.backup.taking.servers import look
from outlive.errors import BackupError, UnavailableError
from outlive.model.lsn import Lsn
from outlive.model.topology import Address
from outlive.postgres.access import Access, connect

LOCK = 0x6F75746C697665  # "outlive"
WATCH_EVERY_S = 1.0
QUERY_LIMIT_S = 10.0
REPLAY_LIMIT_S = 30.0
REPLAY_POLL_S = 0.1
END_LIMIT_S = 10.0
_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_SLOT = "SELECT pg_create_physical_replication_slot($1, immediately_reserve := true, temporary := true)"
_TOTAL = "SELECT max(backup_total) FROM pg_stat_progress_basebackup"


class Hold:
    """The session, once the server is held."""

    def __init__(self, connection: asyncpg.Connection, address: Address) -> None:
        self.address = address
        self.note: str | None = None
        self._connection = connection

    async def look(self) -> ServerFacts:
        """What the server says of itself now.

        Raises:
            UnavailableError: it is gone.
        """
        return await look(self._connection, self.address)

    async def replayed(self, lsn: Lsn) -> bool:
        """Wait until the standby has replayed up to there; whether it has, within `REPLAY_LIMIT_S` seconds."""
        until = system.monotonic() + REPLAY_LIMIT_S
        while system.monotonic() < until:
            if (await self.look()).lsn >= lsn:
                return True
            await asyncio.sleep(REPLAY_POLL_S)
        return False

    async def keep_wal(self) -> None:
        """Let the server keep the WAL that the backup is going to fetch at its end; a note where it can't."""
        try:
            await self._connection.execute("SET synchronous_commit = local")
            await self._connection.fetchval(_SLOT, f"outlive_backup_{os.getpid()}", timeout=QUERY_LIMIT_S)
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            self.note = f"the WAL of the backup is not held by a slot ({error}): wal_keep_size has to be enough"

    async def watch(self, meter: Meter) -> None:
        """Tell the meter the server's own estimate of the size, until cancelled."""
        while True:  # ends with the task
            with contextlib.suppress(*_LOST):
                meter.total_bytes = await self._connection.fetchval(_TOTAL, timeout=QUERY_LIMIT_S) or meter.total_bytes
            await asyncio.sleep(WATCH_EVERY_S)


@contextlib.asynccontextmanager
async def hold(access: Access, address: Address) -> AsyncIterator[Hold]:
    """Keep other backups of ours away from this server.

    Raises:
        BackupError: one is under way.
        UnavailableError: the server doesn't answer.
    """
    connection = await connect(access, address)
    try:
        if not await _lock(connection, address):
            raise BackupError(
                f"another backup is being taken from {address}", hint="Wait for it, or take it from another node."
            )
        yield Hold(connection, address)
    finally:
        # Not before the server has ended the session is another backup let in, and this one's slot gone.
        with contextlib.suppress(*_LOST):
            await connection.close(timeout=END_LIMIT_S)


async def checkpoint(access: Access, address: Address) -> Lsn:
    """Let the primary write a checkpoint, so that a standby's next one lies behind what was written until now.

    Returns where the WAL stood after it: a standby that has replayed that has the checkpoint.

    Raises:
        UnavailableError: it doesn't, or this role may not ask for it.
    """
    connection = await connect(access, address)
    try:
        await connection.execute("CHECKPOINT")
        # What is written and not flushed may come to a standby much later: on an idle server after half a minute.
        return Lsn.parse(await connection.fetchval("SELECT pg_current_wal_flush_lsn()::text"))
    except _LOST as error:
        raise UnavailableError(f"{address}: {str(error) or type(error).__name__}") from None
    finally:
        connection.terminate()


async def _lock(connection: asyncpg.Connection, address: Address) -> bool:
    try:
        return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK, timeout=QUERY_LIMIT_S))
    except _LOST as error:
        raise UnavailableError(f"{address}: {str(error) or type(error).__name__}") from None

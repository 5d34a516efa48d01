"""Brings the segment that is being written into the store, piece by piece, while this node is the primary.

It reads the primary's own pg_wal, as far as PostgreSQL says that it is flushed: no replication connection, hence
nothing that could count as a synchronous standby, whatever `synchronous_standby_names` says. The moment is taken
before the question how far WAL is flushed, so every commit acknowledged before it lies before the answer.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import asyncpg

from outlive import system
from outlive.backup.archiver_files import ArchiverConfig
from outlive.backup.archiver_log import ArchiverLog
from outlive.backup.deposit import Deposit
from outlive.backup.plan.archived import Piece, segment_key
from outlive.backup.plan.cadence import Cadence, Due, Pace, after_put, due
from outlive.backup.pushing import Pusher
from outlive.backup.wal_files import WalFiles
from outlive.errors import BackupError, OutliveError
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import WalSegment

POLL_S = 0.1
STANDBY_POLL_S = 0.5
RECONNECT_S = 1.0
TIMEOUT_S = 5.0
LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises when its server dies: the last one where that is between two of its own states."""
_ASK = """
SELECT pg_is_in_recovery(),
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_flush_lsn()) END
"""


class Streamer:
    """Follows the server's WAL for as long as `run` runs; a server that is down, or a standby, is only waited for."""

    def __init__(
        self, config: ArchiverConfig, files: WalFiles, deposit: Deposit, pusher: Pusher, log: ArchiverLog
    ) -> None:
        self._config, self._files, self._deposit, self._pusher, self._log = config, files, deposit, pusher, log
        self._cadence = Cadence.within(config.objective_s)
        self._pace = Pace.start(self._cadence, system.monotonic())
        self._timeline: Timeline | None = None
        self._segment_bytes = 0
        self._position = Lsn(0)

    async def run(self) -> None:
        """Stream until cancelled."""
        while True:
            try:
                await self._follow()
            except LOST as error:
                self._log.role("unreachable", self._timeline)
                self._log.event("server-lost", error=str(error) or type(error).__name__)
            await asyncio.sleep(RECONNECT_S)

    async def _follow(self) -> None:
        config = self._config
        connection = await asyncpg.connect(
            host=config.host, port=config.port, user=config.user, password=config.password, database=config.database,
            ssl=False, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S, server_settings={"application_name": "archiver"},
        )  # fmt: skip
        try:
            while True:
                wait_s = await self._look(connection)
                await asyncio.sleep(wait_s)
        finally:
            connection.terminate()

    async def _look(self, connection: asyncpg.Connection) -> float:
        """Ask the server once, and put what is due; the seconds until the next look."""
        at = system.now_utc()
        in_recovery, flushed, file_name = await connection.fetchrow(_ASK)
        self._pusher.leaves_to_primary = bool(in_recovery)
        if in_recovery:
            self._timeline = None
            self._log.role("standby", None)
            return STANDBY_POLL_S
        try:
            await self._advance(Lsn.parse(flushed), file_name, at)
        except OutliveError as error:
            self._log.not_streamed(error)
            return RECONNECT_S
        return POLL_S

    async def _advance(self, flushed: Lsn, file_name: str, at: datetime) -> None:
        timeline = Timeline(int(file_name[:8], 16))
        if timeline != self._timeline and not self._begin(timeline, flushed, file_name):
            return
        now = system.monotonic()
        match due(self._pace, flushed - self._position, now, self._cadence):
            case Due.PIECE:
                await self._send(timeline, flushed, at)
            case Due.MARK:
                await self._deposit.put_mark(timeline, flushed, at, self._config.node)
                self._note(0, flushed, at)
            case Due.NOTHING:
                return

    def _begin(self, timeline: Timeline, flushed: Lsn, file_name: str) -> bool:
        """Begin at the start of the segment that is being written: what came before is PostgreSQL's to ask for."""
        page = self._files.first_page(file_name)
        if page is None:
            return False
        self._timeline, self._segment_bytes = timeline, page.segment_bytes
        self._position = WalSegment.before(timeline, flushed, page.segment_bytes).start
        self._log.role("primary", timeline)
        return True

    async def _send(self, timeline: Timeline, flushed: Lsn, at: datetime) -> None:
        """Bring the store up to `flushed`: what is whole by now as segments, the rest as pieces."""
        while self._position < flushed:  # bounded: each turn moves on, or raises
            segment = WalSegment.of(timeline, self._position, self._segment_bytes)
            if segment.next().end <= flushed:
                await self._pass_over(segment)
            else:
                await self._send_piece(segment, Lsn(min(flushed, segment.end)), flushed, at)

    async def _pass_over(self, segment: WalSegment) -> None:
        """Go on behind a segment once it is in the store as a whole."""
        if self._files.identity(segment.name) is not None:
            await self._pusher.push(segment.name)
        elif await self._deposit.store.head(segment_key(segment)) is None:
            raise BackupError(f"{segment.name} is neither in pg_wal nor in the store")
        self._position = segment.end

    async def _send_piece(self, segment: WalSegment, end: Lsn, flushed: Lsn, at: datetime) -> None:
        piece = Piece(segment, self._position - segment.start, end - segment.start)
        raw = await asyncio.to_thread(self._files.read_part, segment, piece.start, piece.end)
        if raw is None:
            await self._pass_over(segment)
            return
        proved_at = at if end == flushed else None
        await self._deposit.put_piece(piece, raw, proved_at)
        self._position = end
        self._log.state.pieces += 1
        self._note(len(raw), end, proved_at)

    def _note(self, put_bytes: int, end: Lsn, proved_at: datetime | None) -> None:
        self._pace = after_put(self._pace, put_bytes, system.monotonic(), self._cadence)
        self._log.streamed(end, proved_at)

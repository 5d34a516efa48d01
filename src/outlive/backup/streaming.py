"""Brings the segment that is being written into the store, piece by piece, while this node is the primary.

It reads the primary's own pg_wal, as far as PostgreSQL says that it is flushed: no replication connection, hence
nothing that could count as a synchronous standby, whatever `synchronous_standby_names` says. The moment is taken
before the question how far WAL is flushed, so every commit acknowledged before it lies before the answer.

What was flushed is cut (`plan/cutting`) when it is due (`plan/cadence`), and several cuts are under way at a time
(`flight`): no look at the server waits for an answer of the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from itertools import islice

import asyncpg

from outlive import system
from outlive.backup.archiver_files import ArchiverConfig
from outlive.backup.archiver_log import ArchiverLog
from outlive.backup.catching_up import CatchingUp
from outlive.backup.deposit import Deposit
from outlive.backup.flight import Flight
from outlive.backup.plan.archived import Piece, segment_key
from outlive.backup.plan.cadence import Cadence, Due, Pace, after_sending, due, due_in_s
from outlive.backup.plan.cutting import Cut, Whole, cuts, end_of
from outlive.backup.plan.wal_page import FirstPage
from outlive.backup.pushing import Pusher
from outlive.backup.wal_files import WalFiles
from outlive.errors import BackupError, OutliveError
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import WalSegment

POLL_S = 0.1
SHORTEST_POLL_S = 0.02
STANDBY_POLL_S = 0.5
RECONNECT_S = 1.0
TIMEOUT_S = 5.0
LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises when its server dies: the last one where that is between two of its own states."""
_ASK = """
SELECT pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text
            ELSE pg_current_wal_flush_lsn()::text END,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_flush_lsn()) END
"""


class Streamer:
    """Follows the server's WAL for as long as `run` runs; a server that is down, or a standby, is only waited for.

    `tasks` runs what is on its way to the store.
    """

    def __init__(
        self,
        config: ArchiverConfig,
        files: WalFiles,
        deposit: Deposit,
        pusher: Pusher,
        log: ArchiverLog,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._config, self._files, self._deposit, self._pusher, self._log = config, files, deposit, pusher, log
        self._flight = Flight(tasks, log.streamed)
        self._catching_up = CatchingUp(files, deposit, log, tasks)
        self._cadence = Cadence.within(config.objective_s)
        self._pace = Pace.start(self._cadence, system.monotonic())
        self._timeline: Timeline | None = None
        self._page: FirstPage | None = None
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
        """Ask the server once, and send what is due; the seconds until the next look."""
        at = system.now_utc()
        in_recovery, flushed, file_name = await connection.fetchrow(_ASK)
        self._pusher.leaves_to_primary = bool(in_recovery)
        if in_recovery:
            self._timeline = None
            self._log.role("standby", None)
            if flushed is not None:
                self._catching_up.look(Lsn.parse(flushed))
            return STANDBY_POLL_S
        if self._flight.failure is not None:
            return self._begin_again(self._flight.failure)
        timeline, end = Timeline(int(file_name[:8], 16)), Lsn.parse(flushed)
        page = self._page if timeline == self._timeline else self._begin(timeline, end, file_name)
        return POLL_S if page is None else self._advance(timeline, page, end, at)

    def _begin(self, timeline: Timeline, flushed: Lsn, file_name: str) -> FirstPage | None:
        """Begin at the start of the segment that is being written: what came before is PostgreSQL's to ask for."""
        page = self._files.first_page(file_name)
        if page is not None:
            self._flight.forget()
            self._timeline, self._page = timeline, page
            self._position = WalSegment.before(timeline, flushed, page.segment_bytes).start
            self._log.role("primary", timeline)
        return page

    def _begin_again(self, error: OutliveError) -> float:
        """Tell the failure, and go back to it once nothing is under way any more."""
        self._log.not_streamed(error)
        position = self._flight.rewind()
        if position is not None:
            self._position = position
        return RECONNECT_S

    def _advance(self, timeline: Timeline, page: FirstPage, flushed: Lsn, at: datetime) -> float:
        now, waiting = system.monotonic(), flushed - self._position
        match due(self._pace, waiting, now, self._cadence):
            case Due.PIECE:
                self._send(cuts(timeline, self._position, flushed, page.segment_bytes), page, flushed, at)
            case Due.MARK if self._flight.empty:
                self._pace = after_sending(self._pace, 0, now, self._cadence)
                self._flight.launch(self._mark(timeline, page, flushed, at), flushed, flushed, at)
            case Due.MARK | Due.NOTHING:
                pass
        return self._until_due_s(flushed)

    def _send(self, due_cuts: Iterable[Cut], page: FirstPage, flushed: Lsn, at: datetime) -> None:
        """Send as much of what was flushed as there is room for."""
        before = self._position
        for cut in islice(due_cuts, self._flight.room):
            start, self._position = self._position, end_of(cut)
            proved_at = at if self._position == flushed else None
            self._flight.launch(self._carry(cut, page, proved_at), start, self._position, proved_at)
        if self._position > before:
            self._pace = after_sending(self._pace, self._position - before, system.monotonic(), self._cadence)

    def _until_due_s(self, flushed: Lsn) -> float:
        waiting = flushed - self._position
        if waiting == 0 or self._flight.room == 0:
            return POLL_S
        return min(POLL_S, max(SHORTEST_POLL_S, due_in_s(self._pace, waiting, system.monotonic(), self._cadence)))

    async def _mark(self, timeline: Timeline, page: FirstPage, flushed: Lsn, at: datetime) -> None:
        await self._pusher.require_own(page)
        await self._deposit.put_mark(timeline, flushed, at, self._config.node)

    async def _carry(self, cut: Cut, page: FirstPage, proved_at: datetime | None) -> None:
        await self._pusher.require_own(page)
        match cut:
            case Whole(segment):
                await self._pass_over(segment)
            case Piece():
                await self._put_piece(cut, proved_at)

    async def _pass_over(self, segment: WalSegment) -> None:
        """Return once the segment is in the store as a whole."""
        if self._files.identity(segment.name) is not None:
            await self._pusher.push(segment.name)
        elif await self._deposit.store.head(segment_key(segment)) is None:
            raise BackupError(f"{segment.name} is neither in pg_wal nor in the store")

    async def _put_piece(self, piece: Piece, proved_at: datetime | None) -> None:
        raw = await asyncio.to_thread(self._files.read_part, piece.segment, piece.start, piece.end)
        if raw is None:
            await self._pass_over(piece.segment)
            return
        await self._deposit.put_piece(piece, raw, proved_at)
        self._log.state.pieces += 1
        self._pusher.tidy_after_piece(piece.segment.name)

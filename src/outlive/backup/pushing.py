"""Pushes files of pg_wal into the store: several at a time, those ahead of PostgreSQL's question too.

A push that was begun goes on whoever waits for it; a second question for the same file joins it. What was made
durable is remembered with the file's identity, so that PostgreSQL's question for it is answered at once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from outlive import system
from outlive.backup.archiver_log import ArchiverLog
from outlive.backup.deposit import Deposit
from outlive.backup.plan.archived import file_key
from outlive.backup.plan.retrying import Fails, Health, Works, after_failure, answer_limit_s, may_try
from outlive.backup.plan.wal_page import FirstPage
from outlive.backup.wal_files import FileIdentity, WalFile, WalFiles
from outlive.errors import ConfigurationError, ObjectStorageError, OutliveError
from outlive.model.wal import is_segment

AHEAD = 8
"""Files begun before PostgreSQL asks for them."""
REMEMBERED = 4 * AHEAD
STANDBY_PATIENCE_S = 3.0
"""How long a standby leaves a file to the primary before it archives the file itself."""
STANDBY_POLL_S = 0.5

Outcome = OutliveError | None
SystemCheck = Callable[[int], Awaitable[None]]


class Pusher:
    """Makes files durable. `tasks` runs the pushes; `check_system` refuses a store of another cluster."""

    def __init__(
        self,
        files: WalFiles,
        deposit: Deposit,
        tasks: asyncio.TaskGroup,
        log: ArchiverLog,
        *,
        workers: int,
        check_system: SystemCheck,
    ) -> None:
        self._files, self._deposit, self._tasks, self._log = files, deposit, tasks, log
        self._slots = asyncio.Semaphore(workers)
        self._check_system = check_system
        self._system: int | None = None
        self._under_way: dict[str, asyncio.Future[Outcome]] = {}
        self._durable: OrderedDict[str, FileIdentity] = OrderedDict()
        self._untidy = self._tidying = False
        self.health: Health = Works()
        self.leaves_to_primary = True  # until the server is known to be the primary

    async def push(self, name: str) -> None:
        """Return once the file is durable.

        Raises:
            BackupError: it is not the file that it is called, or the store has another one of that name.
            ObjectStorageError: the store failed, or is not done in time; the push goes on.
        """
        if self._known(name):
            self.look_ahead()
            return
        if name not in self._under_way and isinstance(self.health, Fails) and not may_try(self.health, _now()):
            raise ObjectStorageError(f"the store fails, {self.health.failures} times in a row now: {self.health.error}")
        pushed = self.begin(name)
        self.look_ahead()
        limit_s = answer_limit_s(self.health)
        try:
            outcome = await asyncio.wait_for(asyncio.shield(pushed), limit_s)
        except TimeoutError:
            raise ObjectStorageError(f"not durable after {limit_s:.0f} s; the push goes on") from None
        if outcome is not None:
            raise outcome

    def begin(self, name: str) -> asyncio.Future[Outcome]:
        """Start pushing the file, unless it is under way."""
        if name in self._under_way:
            return self._under_way[name]
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._under_way[name] = future
        self._tasks.create_task(self._run(name, future))
        return future

    def look_ahead(self) -> int:
        """Begin what PostgreSQL will ask for next; how many files wait in all."""
        ready = self._files.ready()
        self._log.state.backlog = len(ready)
        if may_try(self.health, _now()):
            ahead = AHEAD if isinstance(self.health, Works) else 1  # one is enough to see whether the store is back
            for name in ready[:ahead]:
                if not self._known(name):
                    self.begin(name)
        return len(ready)

    def _known(self, name: str) -> bool:
        return name in self._durable and self._files.identity(name) == self._durable[name]

    async def _run(self, name: str, future: asyncio.Future[Outcome]) -> None:
        # Only the way through `else` is a success: whatever else ends this, nobody may be told that it is durable.
        outcome: Outcome = ObjectStorageError("the archiver ended while it pushed the file")
        try:
            await self._make_durable(name)
        except (ObjectStorageError, ConfigurationError) as error:
            # No bucket there, or another cluster's: nothing is wrong with the file, so the store is asked less often.
            outcome = error
            self._note_failure(name, error)
        except OutliveError as error:
            outcome = error
            self._log.refused(name, error)
        else:
            outcome = None
            self._note_success()
        finally:
            del self._under_way[name]
            if not future.done():
                future.set_result(outcome)

    async def _make_durable(self, name: str) -> None:
        if self.leaves_to_primary:
            await self._wait_for_primary(name)
        async with self._slots:
            file = await asyncio.to_thread(self._files.read, name, self._system)
            if file.first_page is not None:
                await self.require_own(file.first_page)
            key = file_key(name)
            there = self.leaves_to_primary and await self._deposit.holds(key, file.digest)
            put = not there and await self._deposit.put(key, file.raw, file.digest, self._proved_at(file))
        self._remember(name, file.identity)
        self._log.archived(name, put=put)
        if is_segment(name) and (put or not self.leaves_to_primary):
            self.tidy_soon()

    async def _wait_for_primary(self, name: str) -> None:
        """Let the primary do the work; a standby has every file too, and is there for the primary's death."""
        until = _now() + STANDBY_PATIENCE_S
        while self.leaves_to_primary and _now() < until:
            if await self._deposit.store.head(file_key(name)) is not None:
                return
            await asyncio.sleep(STANDBY_POLL_S)

    async def require_own(self, page: FirstPage) -> None:
        """Return if the store is this cluster's, or nobody's until now.

        Raises:
            ConfigurationError: it is another cluster's, or there is none.
            ObjectStorageError: the store failed.
        """
        if self._system is None:
            await self._check_system(page.system_identifier)
            self._system = page.system_identifier

    def _proved_at(self, file: WalFile) -> datetime | None:
        """The primary's last write into the segment: nothing behind it was flushed by then, or acknowledged."""
        if self.leaves_to_primary or not is_segment(file.name):
            return None
        return datetime.fromtimestamp(file.identity.modified_ns / 1e9, UTC)

    def tidy_soon(self) -> None:
        """Remove the pieces of segments that are durable: nobody waits for it, and one listing serves several."""
        self._untidy = True
        if not self._tidying:
            self._tidying = True
            self._tasks.create_task(self._tidy())

    def tidy_after_piece(self, segment_name: str) -> None:
        """Remove a piece that came later than its whole segment, whose pieces may have been removed already."""
        if segment_name in self._durable:
            self.tidy_soon()

    async def _tidy(self) -> None:
        """That pieces stay for now costs room, and nothing else: the next segment's turn is theirs too."""
        try:
            while self._untidy:
                self._untidy = False
                await self._deposit.tidy_after([name for name in self._durable if is_segment(name)])
        except OutliveError as error:
            self._log.untidy(error)
        finally:
            self._tidying = False

    def _remember(self, name: str, identity: FileIdentity) -> None:
        self._durable[name] = identity
        while len(self._durable) > REMEMBERED:
            self._durable.popitem(last=False)

    def _note_failure(self, name: str, error: OutliveError) -> None:
        self.health = after_failure(self.health, str(error), _now(), system.chance.random())
        self._log.failed(name, error)

    def _note_success(self) -> None:
        self.health = Works()
        self._log.works()


def _now() -> float:
    return system.monotonic()

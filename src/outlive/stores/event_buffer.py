"""Events that wait in the process for others, so that many share a transaction."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from outlive import system
from outlive.errors import ConfigurationError, OutliveError, StateError
from outlive.stores.plan.event_batches import BufferCounts, BufferLimits, due_in_s, has_room

if TYPE_CHECKING:
    from outlive.stores.events import Event

RETRY_PAUSE_S = 1.0
"""How long a batch rests after the database did not take it; the write itself was retried before."""

_log = logging.getLogger("outlive.events")


class EventBuffer:
    """Takes events at once and writes them in batches; made by `Events.buffer`, for the tasks of one event loop.

        async with state.events.buffer() as events:
            events.record("tool.called", {"tool": "search"}, subject="trip-7")

    A batch that the database does not take stays and is tried again. When the buffer is full, the new event is
    dropped: `counts` and `on_drop` tell, and the logger `outlive.events` warns. Leaving the block writes what waits.
    """

    def __init__(
        self,
        new: Callable[..., Event],
        write: Callable[[list[Event]], Awaitable[None]],
        limits: BufferLimits,
        on_drop: Callable[[int], object] | None,
    ) -> None:
        self._new = new
        self._write = write
        self._limits = limits
        self._on_drop = on_drop
        self._waiting: deque[tuple[Event, float]] = deque()
        self._recorded = self._written = self._dropped = 0
        self._is_dropping = False
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def counts(self) -> BufferCounts:
        """What became of the events so far."""
        return BufferCounts(self._recorded, self._written, self._dropped, len(self._waiting))

    def record(
        self, kind: str, attributes: Any = None, *, subject: str | None = None, at: datetime | None = None
    ) -> bool:
        """Take an event, without waiting; False if there was no room and it was dropped.

        Raises:
            UnstorableError: something of it can't be kept as it is.
            ConfigurationError: the buffer is not open.
        """
        if self._pump is None or self._closed:
            raise ConfigurationError("the buffer of events is not open", hint="Record inside the block that opens it.")
        event = self._new(kind, attributes, subject=subject, at=at)
        self._recorded += 1
        if not has_room(self._limits, len(self._waiting)):
            self._drop(1, "the buffer is full")
            return False
        self._waiting.append((event, system.monotonic()))
        if len(self._waiting) in {1, self._limits.batch}:
            self._changed.set()
        return True

    async def flush(self) -> BufferCounts:
        """Write all that waits now.

        Raises:
            OutliveError: the database did not take a batch in time; it and what follows it still wait.
        """
        left = len(self._waiting)
        while left > 0 and self._waiting:
            left -= await self._write_batch()
        return self.counts

    async def close(self) -> None:
        """Take no more events and write those that wait; what can't be written is dropped. May be called twice."""
        self._closed = True
        self._changed.set()
        if self._pump is not None:
            await self._pump
        try:
            await self.flush()
        except OutliveError as error:
            left = len(self._waiting)
            self._waiting.clear()
            self._drop(left, f"the buffer was closed: {error}")

    async def __aenter__(self) -> Self:
        if self._pump is not None:
            raise ConfigurationError("the buffer of events was opened before", hint="Make a new one.")
        self._pump = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self) -> None:
        while not self._closed:
            oldest_at = self._waiting[0][1] if self._waiting else None
            due_s = due_in_s(self._limits, len(self._waiting), oldest_at, system.monotonic())
            if due_s == 0:
                await self._write_or_rest()
            else:
                await self._wait(due_s)

    async def _write_or_rest(self) -> None:
        try:
            await self._write_batch()
        except OutliveError as error:
            _log.warning("events wait, as the database did not take them: %s", error)
            await self._wait(RETRY_PAUSE_S)

    async def _wait(self, timeout_s: float | None) -> None:
        """Until an event that matters came, the buffer was closed, or the time is over."""
        self._changed.clear()
        if self._closed:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _write_batch(self) -> int:
        """Write the events that wait longest; how many left the buffer."""
        async with self._writing:
            batch = [event for event, _ in islice(self._waiting, self._limits.batch)]
            if not batch:
                return 0
            try:
                await self._write(batch)
            except Exception as error:
                if isinstance(error, OutliveError) and not isinstance(error, StateError):
                    raise
                # Whatever is wrong with them would be wrong again, and hold up all that follow.
                self._leave(len(batch))
                self._drop(len(batch), str(error))
            else:
                self._leave(len(batch))
                self._written += len(batch)
                self._is_dropping = False
            return len(batch)

    def _leave(self, number: int) -> None:
        for _ in range(number):
            self._waiting.popleft()

    def _drop(self, number: int, reason: str) -> None:
        self._dropped += number
        if not self._is_dropping:
            _log.warning("events are dropped: %s", reason)
        self._is_dropping = True
        if self._on_drop is not None:
            self._on_drop(number)

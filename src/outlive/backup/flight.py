"""What is on its way to the store, in the order of the WAL: several at a time, counted only up to the first hole.

A piece proves nothing while one before it is missing, so a slow put holds back the word of how far the store reaches,
and neither the puts behind it nor their turn. After a failure the rest is left to end; then all is cut anew from
where the first hole begins. What landed behind the hole stays, and may be covered twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime

from outlive.errors import OutliveError
from outlive.model.lsn import Lsn

AT_A_TIME = 4
"""Sendings under way; each holds a piece and what it was made into, in memory."""
UNCOUNTED = 64
"""Sendings that are under way or landed behind a hole."""

Landed = Callable[[Lsn, datetime | None], None]


@dataclass(slots=True)
class _Sending:
    start: Lsn
    end: Lsn
    proved_at: datetime | None
    done: bool = False
    error: OutliveError | None = None


class Flight:
    """Runs sendings in `tasks`; tells `landed` of each whose turn it is, and until when the store then proves."""

    def __init__(self, tasks: asyncio.TaskGroup, landed: Landed) -> None:
        self._tasks, self._landed = tasks, landed
        self._sendings: deque[_Sending] = deque()
        self._under_way = 0

    @property
    def room(self) -> int:
        """How many more may be launched now; none while a failure is not dealt with."""
        if self.failure is not None:
            return 0
        return max(0, min(AT_A_TIME - self._under_way, UNCOUNTED - len(self._sendings)))

    @property
    def empty(self) -> bool:
        """Whether everything that was launched has landed."""
        return not self._sendings

    @property
    def failure(self) -> OutliveError | None:
        """Why the first that failed did."""
        return next((each.error for each in self._sendings if each.error is not None), None)

    def launch(self, sending: Coroutine[None, None, None], start: Lsn, end: Lsn, proved_at: datetime | None) -> None:
        """Let it run; what was acknowledged before `proved_at` lies before `end`."""
        entry = _Sending(start, end, proved_at)
        self._sendings.append(entry)
        self._under_way += 1
        self._tasks.create_task(self._run(entry, sending))

    def rewind(self) -> Lsn | None:
        """Where to begin again after a failure; None while others are still under way."""
        if self._under_way or self.failure is None:
            return None
        start = self._sendings[0].start
        self._sendings.clear()
        return start

    def forget(self) -> None:
        """Count nothing of what is under way any more: the server has another history."""
        self._sendings.clear()

    async def _run(self, entry: _Sending, sending: Coroutine[None, None, None]) -> None:
        try:
            await sending
            entry.done = True
        except OutliveError as error:
            entry.error = error
        finally:
            self._under_way -= 1
        while self._sendings and self._sendings[0].done:
            first = self._sendings.popleft()
            self._landed(first.end, first.proved_at)

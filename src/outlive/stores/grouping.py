"""Calls that come together go together, each with its own answer: see `client.grouping`.

A group holds one call a subject at most: a later call of the same subject goes with a later group.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from outlive.client.grouping import Groups
from outlive.errors import PoolTimeoutError

MAX_GROUP_CALLS = 64
MAX_GROUP_BYTES = 1024 * 1024
"""How much a group holds before it takes no further call; a larger call goes alone."""
MAX_WAITING_CALLS = 10_000

C = TypeVar("C")
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[C, R]):
    subject: str
    call: C
    size_bytes: int
    done: asyncio.Future[R]


class Grouping(Generic[C, R]):
    """Sends calls in groups, for many tasks of one event loop; `send` answers each call of a group, in their order."""

    def __init__(self, send: Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]]) -> None:
        self._send = send
        self._groups: Groups[_Waiting[C, R]] = Groups(self._gathered, self._answers)

    async def call(self, subject: str, call: C, size_bytes: int, timeout_s: float) -> R:
        """The answer to one call; once it is sent, how long it may take is the sender's matter.

        A caller that is cancelled takes back a call that was not sent yet; one that was sent may be applied.

        Raises:
            PoolTimeoutError: it was not sent within `timeout_s` seconds, or too many calls were waiting.
        """
        if len(self._groups.waiting) >= MAX_WAITING_CALLS:
            raise PoolTimeoutError(f"{MAX_WAITING_CALLS} calls were waiting")
        loop = asyncio.get_running_loop()
        waiting = _Waiting[C, R](subject, call, size_bytes, loop.create_future())
        self._groups.waiting.append(waiting)
        timer = loop.call_later(timeout_s, self._expire, waiting)
        self._groups.pump()
        try:
            return await waiting.done
        finally:
            timer.cancel()

    def _expire(self, waiting: _Waiting[C, R]) -> None:
        if waiting in self._groups.waiting and not waiting.done.done():
            waiting.done.set_exception(PoolTimeoutError("it was not sent before its deadline"))

    async def _answers(self, group: Sequence[_Waiting[C, R]]) -> Sequence[R | Exception]:
        return await self._send([waiting.call for waiting in group])

    def _gathered(self) -> list[_Waiting[C, R]]:
        """The calls that wait and are still wanted, in order, each subject once, up to the most that a group holds."""
        waits, group = self._groups.waiting, list[_Waiting[C, R]]()
        left: deque[_Waiting[C, R]] = deque()
        subjects: set[str] = set()
        size_bytes = 0
        while waits and len(group) < MAX_GROUP_CALLS:
            waiting = waits.popleft()
            if waiting.done.done():
                continue
            if waiting.subject in subjects or (group and size_bytes + waiting.size_bytes > MAX_GROUP_BYTES):
                left.append(waiting)
            else:
                group.append(waiting)
                size_bytes += waiting.size_bytes
            subjects.add(waiting.subject)
        waits.extendleft(reversed(left))
        return group

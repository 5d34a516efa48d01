"""Calls that come together go together: one statement and one commit for many, a result or an error for each.

A call that comes while nothing is under way is sent at once. While two groups are under way, calls wait; what has
gathered when one of them ends is the next group. So a lone caller waits for nobody. A group holds one call a subject
at most: a later call of the same subject goes with a later group. What the server refuses a whole group for is found
by sending its calls one by one: the bad one fails alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from outlive.errors import CommitUnknownError, OutliveError, PoolTimeoutError

GROUPS_IN_FLIGHT = 2
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
        self._waiting: deque[_Waiting[C, R]] = deque()
        self._groups: set[asyncio.Task[None]] = set()
        self._gathering = False

    async def call(self, subject: str, call: C, size_bytes: int, timeout_s: float) -> R:
        """The answer to one call; once it is sent, how long it may take is the sender's matter.

        A caller that is cancelled takes back a call that was not sent yet; one that was sent may be applied.

        Raises:
            PoolTimeoutError: it was not sent within `timeout_s` seconds, or too many calls were waiting.
        """
        if len(self._waiting) >= MAX_WAITING_CALLS:
            raise PoolTimeoutError(f"{MAX_WAITING_CALLS} calls were waiting")
        loop = asyncio.get_running_loop()
        waiting = _Waiting[C, R](subject, call, size_bytes, loop.create_future())
        self._waiting.append(waiting)
        timer = loop.call_later(timeout_s, self._expire, waiting)
        self._pump()
        try:
            return await waiting.done
        finally:
            timer.cancel()

    def _expire(self, waiting: _Waiting[C, R]) -> None:
        if waiting in self._waiting and not waiting.done.done():
            waiting.done.set_exception(PoolTimeoutError("it was not sent before its deadline"))

    def _pump(self) -> None:
        """Begin a group; it gathers at the loop's next turn, so what else is called in this one goes along."""
        if self._waiting and not self._gathering and len(self._groups) < GROUPS_IN_FLIGHT:
            self._gathering = True
            # Nothing of the caller's surroundings goes along: the group is everybody's.
            task = asyncio.get_running_loop().create_task(self._go(), context=contextvars.Context())
            self._groups.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._groups.discard(task)
        self._pump()

    async def _go(self) -> None:
        self._gathering = False
        group = self._gathered()
        try:
            await self._answer(group)
        except BaseException:
            _fail(group, CommitUnknownError("the client's event loop ended while it was under way"))
            raise

    def _gathered(self) -> list[_Waiting[C, R]]:
        """The calls that wait and are still wanted, in order, each subject once, up to the most that a group holds."""
        group: list[_Waiting[C, R]] = []
        left: deque[_Waiting[C, R]] = deque()
        subjects: set[str] = set()
        size_bytes = 0
        while self._waiting and len(group) < MAX_GROUP_CALLS:
            waiting = self._waiting.popleft()
            if waiting.done.done():
                continue
            if waiting.subject in subjects or (group and size_bytes + waiting.size_bytes > MAX_GROUP_BYTES):
                left.append(waiting)
            else:
                group.append(waiting)
                size_bytes += waiting.size_bytes
            subjects.add(waiting.subject)
        self._waiting.extendleft(reversed(left))
        return group

    async def _answer(self, group: Sequence[_Waiting[C, R]]) -> None:
        if not group:
            return
        try:
            answers = await self._send([waiting.call for waiting in group])
        except OutliveError as error:
            _fail(group, error)
        except Exception as error:
            if len(group) == 1:
                _fail(group, error)
                return
            for waiting in group:
                await self._answer([waiting])
        else:
            for waiting, answer in zip(group, answers, strict=True):
                _settle(waiting, answer)


def _settle(waiting: _Waiting[C, R], answer: R | Exception) -> None:
    if waiting.done.done():
        return
    if isinstance(answer, Exception):
        waiting.done.set_exception(answer)
    else:
        waiting.done.set_result(answer)


def _fail(group: Sequence[_Waiting[C, R]], error: Exception) -> None:
    """Give each caller an error of its own: one raised in several tasks would gather all their traces."""
    for waiting in group:
        own = copy.copy(error)
        own.__cause__ = error.__cause__
        _settle(waiting, own)

"""What comes together goes together: one transaction for many, and an answer of its own for each.

What comes while nothing is under way is sent at once. While two groups are under way, the rest waits; what has gathered
when one of them ends is the next group. So a lone caller waits for nobody, and many share a commit. What the server
refuses a whole group for, nothing of which is applied then, is found by halves: the bad one fails alone.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from typing import Any, Generic, Protocol, TypeVar

from outlive.errors import CommitUnknownError, OutliveError

GROUPS_IN_FLIGHT = 2


class Waiting(Protocol):
    """Somebody who waits for an answer."""

    @property
    def done(self) -> asyncio.Future[Any]:
        """Where the answer is given; done already if nobody waits any more."""


W = TypeVar("W", bound=Waiting)


class Groups(Generic[W]):
    """Sends what waits in groups, for many tasks of one event loop.

    `gather` takes the next group out of `waiting`; `send` answers each of a group, in their order.
    """

    def __init__(
        self, gather: Callable[[], list[W]], send: Callable[[Sequence[W]], Awaitable[Sequence[object]]]
    ) -> None:
        self.waiting: deque[W] = deque()
        self.under_way: set[asyncio.Task[None]] = set()
        self._gather = gather
        self._send = send
        self._is_gathering = False

    def pump(self) -> None:
        """Begin a group; it gathers at the loop's next turn, so that what else comes in this one goes along."""
        if self.waiting and not self._is_gathering and len(self.under_way) < GROUPS_IN_FLIGHT:
            self._is_gathering = True
            # Nothing of the caller's surroundings goes along: the group is everybody's.
            task = asyncio.get_running_loop().create_task(self._go(), context=Context())
            self.under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.under_way.discard(task)
        self.pump()

    async def _go(self) -> None:
        self._is_gathering = False
        group = self._gather()
        try:
            await self._answer(group)
        except BaseException:
            fail(group, CommitUnknownError("it was cancelled, or the event loop ended, while it was under way"))
            raise

    async def _answer(self, group: Sequence[W]) -> None:
        """Send a group, or its halves, until each has its answer."""
        if not group:
            return
        try:
            answers = await self._send(group)
        except OutliveError as error:
            fail(group, error)
        except Exception as error:
            if len(group) == 1:
                fail(group, error)
                return
            for half in (group[: len(group) // 2], group[len(group) // 2 :]):
                await self._answer(half)
        else:
            for waiting, answer in zip(group, answers, strict=True):
                settle(waiting, answer)


def settle(waiting: Waiting, answer: object) -> None:
    """Give an answer, or an error, to whoever waits still."""
    if waiting.done.done():
        return
    if isinstance(answer, Exception):
        waiting.done.set_exception(answer)
    else:
        waiting.done.set_result(answer)


def fail(group: Iterable[Waiting], error: Exception) -> None:
    """Give each an error of its own: one raised in several tasks would gather all their traces."""
    for waiting in group:
        own = copy.copy(error)
        own.__cause__ = error.__cause__
        settle(waiting, own)

"""A loop that claims tasks and has them done; it goes on by itself when the primary dies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from outlive.errors import OutliveError, StateError, UnstorableError
from outlive.stores.calling import called
from outlive.stores.claimed_task import ClaimedTask
from outlive.stores.failures import PASSING
from outlive.stores.listening import TASKS_CHANNEL, Bell
from outlive.stores.plan.attempts import Backoff
from outlive.stores.plan.waking import pause_s

if TYPE_CHECKING:
    from outlive.stores.tasks import Tasks

CONCURRENCY = 4
POLL_S = 5.0
"""The longest that a worker with nothing to do waits before it looks again, in seconds."""
GRACE_S = 30.0
"""How long a worker that was told to stop lets its handlers go on, in seconds."""
GIVE_BACK_S = 5.0
"""How long a worker that ends takes to give a task back: one that it can't is due when its lease runs out."""
LIMIT_S = 3600.0
"""How long one attempt at a task may take, in seconds."""
_RENEWALS_A_LEASE = 3

Handler = Callable[[ClaimedTask], Awaitable[Any] | Any]

_log = logging.getLogger("outlive.stores")


class Worker:
    """Serves queues; made by `state.tasks.worker`, and run once.

    Leases are renewed in the background. A handler whose task another worker has, or that was cancelled, is cancelled.
    """

    poll_s = POLL_S
    """The longest that it waits before it looks for tasks again, in seconds."""
    grace_s = GRACE_S
    """How long handlers may go on after `stop`, in seconds."""
    limit_s = LIMIT_S
    """How long one attempt at a task may take, in seconds."""

    def __init__(
        self, tasks: Tasks, queues: tuple[str, ...], name: str, concurrency: int, lease_s: float, backoff: Backoff
    ) -> None:
        self.name = name
        self._tasks = tasks
        self._queues = queues
        self._concurrency = concurrency
        self._lease_s = lease_s
        self._backoff = backoff
        self._running: dict[asyncio.Task[None], ClaimedTask] = {}
        self._wake = asyncio.Event()
        self._stopping = False

    def stop(self) -> None:
        """Claim nothing more; `run` returns once the handlers under way have ended, within `grace_s` seconds."""
        self._stopping = True
        self._wake.set()

    async def run(self, handler: Handler) -> None:
        """Have `handler(task)` do each task, until `stop` is called; what it returns is kept as the result.

        A handler that raises ends the attempt: the task is tried again later, or dead after its last attempt. One that
        has ended its task itself (`task.fail(..., retry=False)`) is left alone. A handler may be called again for a
        task that it had done, if its worker died before that was kept: `task.key` tells a receiver of the repetition.
        If this call is cancelled, the tasks under way are given back.
        """
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(Bell(self._tasks.db, TASKS_CHANNEL, self._rung).run(), name="outlive bell"),
                group.create_task(self._renew_for_ever(), name=f"outlive leases of {self.name}"),
            ]
            try:
                await self._serve(handler, group)
                await self._drain()
            finally:
                for task in background:
                    task.cancel()

    async def _serve(self, handler: Handler, group: asyncio.TaskGroup) -> None:
        while not self._stopping:
            self._wake.clear()
            free = self._concurrency - len(self._running)
            due_in_s = await self._fill(free, handler, group) if free else None
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s(self.poll_s, due_in_s)):
                    await self._wake.wait()

    async def _fill(self, free: int, handler: Handler, group: asyncio.TaskGroup) -> float | None:
        """Claim as many tasks as are wanted and begin them; if there are fewer, in how many seconds one is due."""
        try:
            claimed = await self._tasks.claim(
                self._queues, worker=self.name, lease_s=self._lease_s, limit=free, backoff=self._backoff
            )
            for each in claimed:
                attempt = group.create_task(self._perform(each, handler), name=f"outlive task {each.task.id}")
                self._running[attempt] = each
                attempt.add_done_callback(self._ended)
            return None if len(claimed) == free else await self._tasks.next_due_s(self._queues)
        except PASSING as error:
            _log.warning("worker %s can't claim for the moment: %s", self.name, error)
            return None

    async def _perform(self, claimed: ClaimedTask, handler: Handler) -> None:
        try:
            if claimed.may_have_lapsed:
                await claimed.heartbeat()  # nothing that another worker has, or has finished, is begun here
            await self._attempt(claimed, handler)
        except asyncio.CancelledError:
            if not claimed.lost:
                await self._give_back(claimed)
                raise
        except (*PASSING, StateError) as error:
            # Its end is not kept: it is due again when its lease runs out, if it is not another worker's already.
            _log.warning("the end of the task %s (%s) was not kept: %s", claimed.task.id, claimed.key, error)

    async def _attempt(self, claimed: ClaimedTask, handler: Handler) -> None:
        try:
            async with asyncio.timeout(self.limit_s):
                result = await called(handler, claimed)
        except Exception as error:
            if not (claimed.ended or claimed.lost):
                _log.info("attempt %s at the task %s failed", claimed.task.attempts, claimed.task.id, exc_info=error)
                await claimed.fail(error)
            return
        if claimed.ended or claimed.lost:
            return
        try:
            await claimed.finish(result)
        except UnstorableError as error:
            await claimed.fail(error, retry=False)

    async def _give_back(self, claimed: ClaimedTask) -> None:
        if not claimed.ended:
            with suppress(OutliveError, TimeoutError):
                async with asyncio.timeout(GIVE_BACK_S):
                    await claimed.release()

    async def _drain(self) -> None:
        if self._running:
            _, late = await asyncio.wait(tuple(self._running), timeout=self.grace_s)
            for attempt in late:
                attempt.cancel()

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / _RENEWALS_A_LEASE)
            running = {attempt: each for attempt, each in self._running.items() if not each.ended}
            if running:
                await self._renew(running)

    async def _renew(self, running: dict[asyncio.Task[None], ClaimedTask]) -> None:
        try:
            held = await self._tasks.renew(running.values(), self._lease_s)
        except PASSING as error:
            _log.warning("worker %s can't renew its leases for the moment: %s", self.name, error)
            return
        for attempt, each in running.items():
            # One that has begun to write its end meanwhile is not held for that reason: it must not be disturbed.
            if each.task.id not in held and not each.ending:
                each.lose()
                attempt.cancel()

    def _rung(self, queue: str | None) -> None:
        if queue is None or queue in self._queues:
            self._wake.set()

    def _ended(self, attempt: asyncio.Task[None]) -> None:
        self._running.pop(attempt, None)
        self._wake.set()

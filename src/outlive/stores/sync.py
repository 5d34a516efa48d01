"""Tasks for programs without asyncio, over `outlive.sync`.

    with outlive.sync.connect(dsn) as db:
        tasks = SyncTasks(db)
        tasks.enqueue("mails", {"to": "ada"})
        tasks.worker("mails").run(send)

Each call runs the asynchronous one on the client's event loop and waits for it; nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from outlive.stores.claimed_task import ClaimedTask
from outlive.stores.plan.attempts import DEFAULT_BACKOFF, Backoff
from outlive.stores.state import AgentState
from outlive.stores.task_records import Task, TaskStatus
from outlive.stores.tasks import DEFAULT_LEASE_S, Tasks
from outlive.stores.worker import CONCURRENCY, Worker
from outlive.sync import Portal, SyncCluster, SyncTransaction, through

SyncHandler = Callable[["SyncClaimedTask"], Any]


class SyncClaimedTask:
    """`outlive.stores.ClaimedTask` for programs without asyncio. Its calls take and return the same."""

    def __init__(self, portal: Portal, inner: ClaimedTask) -> None:
        self._portal, self._inner = portal, inner

    save_progress = through(ClaimedTask.save_progress)
    heartbeat = through(ClaimedTask.heartbeat)
    finish = through(ClaimedTask.finish)
    fail = through(ClaimedTask.fail)
    release = through(ClaimedTask.release)

    def finish_in(self, tx: SyncTransaction, result: Any = None) -> None:
        """See `ClaimedTask.finish_in`."""
        self._portal.call(self._inner.finish_in(tx.asynchronous, result))

    @property
    def task(self) -> Task:
        """The task as it was claimed."""
        return self._inner.task

    @property
    def key(self) -> str:
        """See `ClaimedTask.key`."""
        return self._inner.key

    @property
    def payload(self) -> Any:
        """What is to be done."""
        return self._inner.payload

    @property
    def progress(self) -> Any:
        """See `ClaimedTask.progress`."""
        return self._inner.progress

    @property
    def lost(self) -> bool:
        """See `ClaimedTask.lost`: a handler in a thread can't be cancelled, and should ask."""
        return self._inner.lost

    @property
    def ending(self) -> bool:
        """See `ClaimedTask.ending`."""
        return self._inner.ending

    @property
    def ended(self) -> bool:
        """See `ClaimedTask.ended`."""
        return self._inner.ended

    @property
    def may_have_lapsed(self) -> bool:
        """See `ClaimedTask.may_have_lapsed`."""
        return self._inner.may_have_lapsed


def _of_the_worker(name: str) -> property:
    """An attribute of the worker below, to be read and set."""

    def read(self: SyncWorker) -> float:
        return float(getattr(self._inner, name))

    def write(self: SyncWorker, value: float) -> None:
        setattr(self._inner, name, value)

    return property(read, write, doc=f"See `Worker.{name}`.")


class SyncWorker:
    """`outlive.stores.Worker` for programs without asyncio; made by `SyncTasks.worker`, and run once."""

    def __init__(self, portal: Portal, inner: Worker) -> None:
        self._portal, self._inner = portal, inner

    def run(self, handler: SyncHandler) -> None:
        """See `Worker.run`; `handler(task)` is called in threads, up to `concurrency` at once.

        A handler in a thread can't be cancelled: one that takes long asks `task.lost`, and its writes are refused once
        the task is another worker's. An interrupt of the waiting thread gives the tasks under way back.
        """

        async def in_thread(claimed: ClaimedTask) -> Any:
            return await asyncio.to_thread(handler, SyncClaimedTask(self._portal, claimed))

        self._portal.call(self._inner.run(in_thread))

    def stop(self) -> None:
        """See `Worker.stop`; may be called from any thread."""

        async def stop() -> None:
            self._inner.stop()

        if self._portal.is_here():
            self._inner.stop()
        else:
            self._portal.call(stop())

    @property
    def name(self) -> str:
        """What its leases are held under."""
        return self._inner.name

    poll_s = _of_the_worker("poll_s")
    grace_s = _of_the_worker("grace_s")
    limit_s = _of_the_worker("limit_s")


class SyncTasks:
    """`outlive.stores.Tasks` for programs without asyncio. Its calls take and return the same.

    `options` are those of `AgentState`.
    """

    def __init__(self, db: SyncCluster, **options: Any) -> None:
        self._portal = db.portal
        self._inner = AgentState(db.asynchronous, **options).tasks

    enqueue = through(Tasks.enqueue)
    enqueue_all = through(Tasks.enqueue_all)
    next_due_s = through(Tasks.next_due_s)
    find = through(Tasks.find)
    get = through(Tasks.get)
    page = through(Tasks.page)
    counts = through(Tasks.counts)
    depths = through(Tasks.depths)
    cancel = through(Tasks.cancel)
    requeue = through(Tasks.requeue)
    expire = through(Tasks.expire)

    def enqueue_in(self, tx: SyncTransaction, *args: Any, **options: Any) -> tuple[Task, ...]:
        """See `Tasks.enqueue_in`."""
        return self._portal.call(self._inner.enqueue_in(tx.asynchronous, *args, **options))

    def claim(
        self,
        queues: str | Iterable[str],
        *,
        worker: str,
        lease_s: float = DEFAULT_LEASE_S,
        limit: int = 1,
        backoff: Backoff = DEFAULT_BACKOFF,
    ) -> tuple[SyncClaimedTask, ...]:
        """See `Tasks.claim`."""
        work = self._inner.claim(queues, worker=worker, lease_s=lease_s, limit=limit, backoff=backoff)
        return tuple(SyncClaimedTask(self._portal, each) for each in self._portal.call(work))

    def renew(self, claimed: Iterable[SyncClaimedTask], lease_s: float) -> frozenset[int]:
        """See `Tasks.renew`."""
        return self._portal.call(self._inner.renew([each._inner for each in claimed], lease_s))  # noqa: SLF001

    def listed(self, queue: str, status: TaskStatus, **options: Any) -> Iterator[Task]:
        """See `Tasks.listed`."""
        rows = self._inner.listed(queue, status, **options)

        async def following() -> Task | None:
            return await anext(rows, None)

        while (task := self._portal.call(following())) is not None:
            yield task

    def worker(
        self,
        queues: str | Iterable[str],
        *,
        name: str | None = None,
        concurrency: int = CONCURRENCY,
        lease_s: float = DEFAULT_LEASE_S,
        backoff: Backoff = DEFAULT_BACKOFF,
    ) -> SyncWorker:
        """See `Tasks.worker`."""

        async def make() -> Worker:
            return self._inner.worker(queues, name=name, concurrency=concurrency, lease_s=lease_s, backoff=backoff)

        return SyncWorker(self._portal, self._portal.call(make()))

"""Tasks without asyncio, and workers whose handlers run in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from outlive.stores.claimed_task import ClaimedTask
from outlive.stores.task_records import NewTask, Task
from outlive.stores.tasks import MAX_CLAIM, Tasks
from outlive.stores.worker import Worker
from outlive.sync import Face, Limit, Portal, Seen, SyncTransaction, iterated, lent, like, on_loop, through


class SyncClaimedTask(Face[ClaimedTask]):
    """`outlive.stores.ClaimedTask` for programs without asyncio: its calls take and return the same."""

    task = Seen(ClaimedTask, lambda claimed: claimed.task, "The task as it was claimed.")
    key = Seen(ClaimedTask, lambda claimed: claimed.key)
    payload = Seen(ClaimedTask, lambda claimed: claimed.payload)
    progress = Seen(ClaimedTask, lambda claimed: claimed.progress)
    lost = Seen(
        ClaimedTask,
        lambda claimed: claimed.lost,
        "Whether it is known that the lease is another's: a handler in a thread can't be cancelled, and should ask.",
    )
    ending = Seen(ClaimedTask, lambda claimed: claimed.ending, "Whether its end was asked for here.")
    ended = Seen(ClaimedTask, lambda claimed: claimed.ended, "Whether it was finished, failed or released here.")
    may_have_lapsed = Seen(ClaimedTask, lambda claimed: claimed.may_have_lapsed)

    save_progress = through(ClaimedTask.save_progress)
    heartbeat = through(ClaimedTask.heartbeat)
    finish = through(ClaimedTask.finish)
    fail = through(ClaimedTask.fail)
    release = through(ClaimedTask.release)

    @like(ClaimedTask.finish_in)
    def finish_in(self, tx: SyncTransaction, result: Any = None) -> None:  # noqa: D102 - what the asynchronous one says
        self._portal.call(self._inner.finish_in(tx.asynchronous, result))


SyncHandler = Callable[[SyncClaimedTask], Any]


class SyncWorker(Face[Worker]):
    """`outlive.stores.Worker` for programs without asyncio; made by `SyncTasks.worker`, and run once."""

    name = Seen(Worker, lambda worker: worker.name, "What its leases are held under.")
    poll_s = Limit(Worker, lambda worker: worker.poll_s, "See `Worker.poll_s`.")
    grace_s = Limit(Worker, lambda worker: worker.grace_s, "See `Worker.grace_s`.")
    limit_s = Limit(Worker, lambda worker: worker.limit_s, "See `Worker.limit_s`.")

    stop = on_loop(Worker.stop)

    def run(self, handler: SyncHandler) -> None:
        """See `Worker.run`; `handler(task)` is called in threads, up to `concurrency` at once.

        A handler in a thread can't be cancelled: one that takes long asks `task.lost`, and its writes are refused once
        the task is another worker's. An interrupt of the waiting thread gives the tasks under way back.
        """

        def attempt(claimed: ClaimedTask) -> Any:
            try:
                return handler(SyncClaimedTask(self._portal, claimed))
            except (SystemExit, KeyboardInterrupt) as error:
                raise RuntimeError(f"the handler wanted to end its thread: {error!r}") from error

        threads = ThreadPoolExecutor(MAX_CLAIM, thread_name_prefix=f"outlive {self.name}")  # made as they are needed
        try:
            self._portal.call(self._inner.run(lent(attempt, threads.submit)))
        finally:
            threads.shutdown(wait=False)


def _each(portal: Portal, claimed: Iterable[ClaimedTask]) -> tuple[SyncClaimedTask, ...]:
    return tuple(SyncClaimedTask(portal, each) for each in claimed)


class SyncTasks(Face[Tasks]):
    """`outlive.stores.Tasks` for programs without asyncio: its calls take and return the same."""

    enqueue = through(Tasks.enqueue)
    enqueue_all = through(Tasks.enqueue_all)
    claim = through(Tasks.claim, _each)
    worker = on_loop(Tasks.worker, SyncWorker)
    next_due_s = through(Tasks.next_due_s)
    find = through(Tasks.find)
    get = through(Tasks.get)
    page = through(Tasks.page)
    listed = iterated(Tasks.listed)
    counts = through(Tasks.counts)
    depths = through(Tasks.depths)
    cancel = through(Tasks.cancel)
    requeue = through(Tasks.requeue)
    expire = through(Tasks.expire)

    @like(Tasks.enqueue_in)
    def enqueue_in(  # noqa: D102 - what the asynchronous one says
        self, tx: SyncTransaction, tasks: Sequence[NewTask], *, conversation: str | None = None
    ) -> tuple[Task, ...]:
        return self._portal.call(self._inner.enqueue_in(tx.asynchronous, tasks, conversation=conversation))

    @like(Tasks.renew)
    def renew(  # noqa: D102 - what the asynchronous one says
        self, claimed: Iterable[SyncClaimedTask], lease_s: float
    ) -> frozenset[int]:
        return self._portal.call(self._inner.renew([each.asynchronous for each in claimed], lease_s))

"""A worker's loop on a real cluster: woken, bounded, stopped, fenced off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

import outlive
from integration.client.waiting import until
from outlive.stores import AgentState, Backoff, ClaimedTask, NewTask, Task, TaskStatus, Worker
from outlive.stores.worker import Handler

NEVER_S = 3600.0
AT_ONCE = Backoff(first_s=0.01, cap_s=0.01)


@pytest.fixture
def queue() -> str:
    """The name of a queue that no other test uses."""
    return f"q-{uuid4()}"


@asynccontextmanager
async def at_work(worker: Worker, handler: Handler) -> AsyncIterator[asyncio.Task[None]]:
    """Run a worker beside the block, then stop it and wait until it has stopped."""
    running = asyncio.create_task(worker.run(handler))
    try:
        yield running
    finally:
        worker.stop()
        async with asyncio.timeout(20):
            await asyncio.gather(running, return_exceptions=True)


def patient(state: AgentState, queue: str, concurrency: int = 4) -> Worker:
    """A worker that looks for tasks only when it is woken, or when it knows that one is due."""
    worker = state.tasks.worker(queue, name=f"w-{queue}", concurrency=concurrency, backoff=AT_ONCE)
    worker.poll_s = NEVER_S
    return worker


async def listening(state: AgentState) -> None:
    """Return once somebody hears the channel of tasks."""
    asked = "select count(*) from pg_stat_activity where datname = current_database() and query like 'LISTEN%'"
    await until(lambda: _some(state, asked))


async def _some(state: AgentState, asked: str) -> bool:
    return bool(await state.tasks.db.fetchval(asked, read="strong"))


async def ends(state: AgentState, *tasks: Task) -> list[Task]:
    """The tasks, once all of them have ended."""

    async def ended() -> bool:
        found = [await state.tasks.find(task.queue, task.key) for task in tasks]
        kept[:] = [task for task in found if task is not None and task.ended_at is not None]
        return len(kept) == len(tasks)

    kept: list[Task] = []
    await until(ended, 20)
    return kept


async def test_a_worker_is_woken_by_what_is_enqueued(state: AgentState, queue: str) -> None:
    """It does what was there before and, woken by a notification, what comes later; results are kept."""
    before = await state.tasks.enqueue(queue, 1)
    async with at_work(patient(state, queue), lambda task: task.payload * 10):
        await ends(state, before)
        await listening(state)
        later = await state.tasks.enqueue(queue, 2)
        kept = await ends(state, before, later)
    assert [(task.status, task.result) for task in kept] == [(TaskStatus.FINISHED, 10), (TaskStatus.FINISHED, 20)]


async def test_a_worker_knows_when_delayed_tasks_are_due(state: AgentState, queue: str) -> None:
    """It sleeps until then, without a notification and without polling."""
    async with at_work(patient(state, queue), lambda task: task.payload):
        await listening(state)
        delayed = await state.tasks.enqueue(queue, "later", delay_s=0.4)
        (kept,) = await ends(state, delayed)
    assert kept.ended_at is not None
    assert delayed.due_at is not None
    assert kept.ended_at >= delayed.due_at


async def test_no_more_tasks_are_done_at_once_than_allowed(state: AgentState, queue: str) -> None:
    """With a concurrency of 3, three of ten tasks run, and in the end all were done once."""
    at_once: list[int] = []
    running = 0
    gate = asyncio.Event()

    async def handler(task: ClaimedTask) -> int:
        nonlocal running
        running += 1
        at_once.append(running)
        await gate.wait()
        running -= 1
        return int(task.payload)

    tasks = await state.tasks.enqueue_all([NewTask(queue, number) for number in range(10)])
    async with at_work(patient(state, queue, concurrency=3), handler):
        await until(lambda: running == 3)
        assert (await state.tasks.counts(queue))[TaskStatus.RUNNING] == 3
        gate.set()
        kept = await ends(state, *tasks)
    assert max(at_once) == 3
    assert [(task.result, task.attempts) for task in kept] == [(number, 1) for number in range(10)]


async def test_a_handler_that_raises_is_tried_again(state: AgentState, queue: str) -> None:
    """Until its attempts are spent; one that ends its task itself, or returns what can't be kept, is not."""
    called: list[str] = []

    async def handler(task: ClaimedTask) -> object:
        called.append(task.payload)
        if task.payload == "hopeless":
            await task.fail("no use", retry=False)
        if task.payload == "unstorable":
            return object()
        if task.payload == "flaky" and task.task.attempts < 3:
            raise ValueError("not yet")
        return None

    names = ["flaky", "hopeless", "unstorable"]
    tasks = await state.tasks.enqueue_all([NewTask(queue, name) for name in names])
    async with at_work(patient(state, queue), handler):
        flaky, hopeless, unstorable = await ends(state, *tasks)
    assert sorted(called) == ["flaky", "flaky", "flaky", "hopeless", "unstorable"]
    assert (flaky.status, flaky.attempts) == (TaskStatus.FINISHED, 3)
    assert (hopeless.status, hopeless.error) == (TaskStatus.DEAD, "no use")
    assert unstorable.status is TaskStatus.DEAD
    assert "can't be stored" in str(unstorable.error)


async def test_a_task_ends_with_its_handlers_transaction(state: AgentState, db: outlive.Cluster, queue: str) -> None:
    """It is finished by the one that commits; one that fails leaves it to the next attempt."""
    task = await state.tasks.enqueue(queue, 1)

    async def work(tx: outlive.Transaction, held: ClaimedTask) -> None:
        await state.tasks.enqueue_in(tx, [NewTask(f"{queue}-next", held.task.attempts)])
        await held.finish_in(tx, held.task.attempts)
        if held.task.attempts == 1:
            raise ValueError("not yet")

    async with at_work(patient(state, queue), lambda held: db.run(work, held)):
        (kept,) = await ends(state, task)
    assert (kept.status, kept.result, kept.attempts) == (TaskStatus.FINISHED, 2, 2)
    (following,) = await state.tasks.claim(f"{queue}-next", worker="w", limit=5)
    assert following.payload == 2


async def test_an_attempt_that_takes_too_long_is_ended(state: AgentState, queue: str) -> None:
    """A handler that hangs is cut off after the worker's limit, and its task counts as failed."""
    task = await state.tasks.enqueue(queue, 1, max_attempts=1)
    worker = patient(state, queue)
    worker.limit_s = 0.1

    async def hang(_task: ClaimedTask) -> None:
        await asyncio.Event().wait()

    async with at_work(worker, hang):
        (kept,) = await ends(state, task)
    assert (kept.status, str(kept.error).split(":")[0]) == (TaskStatus.DEAD, "TimeoutError")


async def test_leases_are_renewed_while_a_handler_works(state: AgentState, queue: str) -> None:
    """A handler may take several leases; the task stays its own, and nobody else gets it."""
    task = await state.tasks.enqueue(queue, 1)
    worker = state.tasks.worker(queue, lease_s=0.6)
    renewed: set[object] = set()

    async def handler(held: ClaimedTask) -> str:
        async def moved_on() -> bool:
            assert await state.tasks.claim(queue, worker="thief") == ()
            kept = await state.tasks.find(queue, held.key)
            assert kept is not None
            renewed.add(kept.due_at)
            return len(renewed) >= 5

        await until(moved_on, 20)
        return "mine"

    async with at_work(worker, handler):
        (kept,) = await ends(state, task)
    assert (kept.result, kept.attempts) == ("mine", 1)


async def test_the_handler_of_a_cancelled_task_is_cancelled(state: AgentState, queue: str) -> None:
    """It hears of it at the next renewal, writes nothing more, and its worker goes on."""
    task = await state.tasks.enqueue(queue, "hang")
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(held: ClaimedTask) -> str:
        if held.payload == "hang":
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        return "done"

    async with at_work(state.tasks.worker(queue, concurrency=1, lease_s=0.3), handler):
        await asyncio.wait_for(began.wait(), 20)
        await state.tasks.cancel(task.id)
        await asyncio.wait_for(cancelled.wait(), 20)
        (next_one,) = await ends(state, await state.tasks.enqueue(queue, "next"))
    kept = await state.tasks.find(queue, task.key)
    assert kept is not None
    assert (kept.status, kept.error, next_one.result) == (TaskStatus.CANCELLED, None, "done")


async def test_a_worker_that_is_stopped_ends_what_it_began(state: AgentState, queue: str) -> None:
    """It claims nothing more; what can't end within its grace is given back, and its attempt does not count."""
    tasks = await state.tasks.enqueue_all([NewTask(queue, each) for each in ("quick", "hang", "waits")])
    worker = patient(state, queue, concurrency=2)
    worker.grace_s = 0.5
    began = asyncio.Event()

    async def handler(task: ClaimedTask) -> str:
        if task.payload == "hang":
            began.set()
            await asyncio.Event().wait()
        await began.wait()
        worker.stop()
        return "done"

    async with asyncio.timeout(20):
        await worker.run(handler)
    quick, hang, waits = [await state.tasks.find(queue, task.key) for task in tasks]
    assert quick and hang and waits  # noqa: PT018
    assert (quick.status, hang.status, waits.status) == (TaskStatus.FINISHED, TaskStatus.QUEUED, TaskStatus.QUEUED)
    assert (hang.attempts, waits.attempts) == (0, 0)


async def test_a_worker_that_is_cancelled_gives_its_tasks_back(state: AgentState, queue: str) -> None:
    """They are due at once for the next worker."""
    await state.tasks.enqueue(queue, 1)
    began = asyncio.Event()

    async def handler(_task: ClaimedTask) -> None:
        began.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(patient(state, queue).run(handler))
    await asyncio.wait_for(began.wait(), 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (held,) = await state.tasks.claim(queue, worker="next")
    assert held.task.attempts == 1


async def test_a_worker_hears_again_after_its_connection_was_cut(
    state: AgentState, db: outlive.Cluster, queue: str
) -> None:
    """Its listening connection is ended by the server: it makes another one, and misses nothing."""
    asked = "select count(*) from pg_stat_activity where datname = current_database() and query like 'LISTEN%'"
    async with at_work(patient(state, queue), lambda task: task.payload):
        await listening(state)
        ended = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%'"
        await db.fetchval(f"{ended} and datname = current_database()", read="strong")
        await until(lambda: _some(state, f"{asked} and state = 'idle'"), 20)
        (kept,) = await ends(state, await state.tasks.enqueue(queue, "again"))
    assert kept.result == "again"


async def test_a_worker_makes_do_with_one_connection(database: str, state: AgentState, queue: str) -> None:
    """A client whose pool has one connection keeps none to listen on: its worker polls."""
    async with outlive.connect(database, pool_size=1) as narrow:
        assert not narrow.can_listen
        worker = AgentState(narrow).tasks.worker(queue)
        worker.poll_s = 0.1
        async with at_work(worker, lambda task: task.payload):
            (kept,) = await ends(state, await state.tasks.enqueue(queue, "done"))
    assert kept.result == "done"

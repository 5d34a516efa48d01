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
        async with asyncio.timeout(60):
            await asyncio.gather(running, return_exceptions=True)


def patient(state: AgentState, queue: str, concurrency: int = 4) -> Worker:
    """A worker that looks for tasks only when it is woken, or when it knows that one is due."""
    worker = state.tasks.worker(queue, name=f"w-{queue}", concurrency=concurrency, backoff=AT_ONCE)
    worker.poll_s = NEVER_S
    return worker


async def listening(state: AgentState, *, but: frozenset[int] = frozenset()) -> frozenset[int]:
    """The processes of the server that hear the channel of tasks, once there are others than `but`."""
    # One that has listened for long is asked now and then whether it is there still: that is its last query, then.
    asked = "select pid from pg_stat_activity where datname = current_database() and query ~ '^(LISTEN|SELECT 1$)'"
    heard: set[int] = set()

    async def others() -> bool:
        heard.update(row["pid"] for row in await state.tasks.db.fetch(asked, read="strong"))
        return bool(heard - but)

    await until(others)
    return frozenset(heard - but)


async def woken(state: AgentState, queue: str, payload: object) -> Task:
    """A task that is enqueued, once it has ended.

    A ring has half a second, and on a busy machine is given up. So it is enqueued again, which rings again, and changes
    nothing else: a worker that looks only when it is woken does not find it before one of them is heard.
    """
    kept: list[Task] = []

    async def ended() -> bool:
        kept[:] = [await state.tasks.enqueue(queue, payload, key="woken")]
        return kept[0].ended_at is not None

    await until(ended)
    return kept[0]


async def ends(state: AgentState, *tasks: Task) -> list[Task]:
    """The tasks, once all of them have ended."""

    async def ended() -> bool:
        found = [await state.tasks.find(task.queue, task.key) for task in tasks]
        kept[:] = [task for task in found if task is not None and task.ended_at is not None]
        return len(kept) == len(tasks)

    kept: list[Task] = []
    await until(ended)
    return kept


async def test_a_worker_is_woken_by_what_is_enqueued(state: AgentState, queue: str) -> None:
    """It does what was there before and, woken by a notification, what comes later; results are kept."""
    before = await state.tasks.enqueue(queue, 1)
    async with at_work(patient(state, queue), lambda task: task.payload * 10):
        await ends(state, before)
        await listening(state)
        kept = [*await ends(state, before), await woken(state, queue, 2)]
    assert [(task.status, task.result) for task in kept] == [(TaskStatus.FINISHED, 10), (TaskStatus.FINISHED, 20)]


async def test_a_worker_knows_when_delayed_tasks_are_due(database: str, state: AgentState, queue: str) -> None:
    """It sleeps until then, without a notification, as it has no connection to hear one on, and without polling."""
    delayed = await state.tasks.enqueue(queue, "later", delay_s=0.4)
    async with outlive.connect(database, pool_size=1) as narrow:
        assert not narrow.can_listen
        async with at_work(patient(AgentState(narrow), queue), lambda task: task.payload):
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
    """A handler may take longer than a lease; the task stays its own, and nobody else gets it."""
    task = await state.tasks.enqueue(queue, 1)
    # Two thirds of it is how late a renewal may come on a busy machine before another one has the task by right.
    worker = state.tasks.worker(queue, lease_s=4.5)

    async def handler(held: ClaimedTask) -> str:
        async def outlasted() -> bool:
            assert await state.tasks.claim(queue, worker="thief") == ()
            kept = await state.tasks.find(queue, held.key)
            assert kept is not None
            assert kept.due_at is not None
            assert held.task.due_at is not None
            return (kept.due_at - held.task.due_at).total_seconds() > 4.5

        await until(outlasted)
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
        await asyncio.wait_for(began.wait(), 60)
        await state.tasks.cancel(task.id)
        await asyncio.wait_for(cancelled.wait(), 60)
        (next_one,) = await ends(state, await state.tasks.enqueue(queue, "next"))
    kept = await state.tasks.find(queue, task.key)
    assert kept is not None
    assert (kept.status, kept.error, next_one.result) == (TaskStatus.CANCELLED, None, "done")


async def test_a_worker_that_is_stopped_ends_what_it_began(state: AgentState, queue: str) -> None:
    """What is under way is ended, within its grace, and nothing more is claimed."""
    tasks = await state.tasks.enqueue_all([NewTask(queue, each) for each in ("quick", "waits")])
    worker = patient(state, queue, concurrency=1)

    async def handler(_task: ClaimedTask) -> str:
        worker.stop()
        return "done"

    async with asyncio.timeout(60):
        await worker.run(handler)
    quick, waits = [await state.tasks.find(queue, task.key) for task in tasks]
    assert quick and waits  # noqa: PT018
    assert (quick.status, waits.status, waits.attempts) == (TaskStatus.FINISHED, TaskStatus.QUEUED, 0)


async def test_what_a_stopped_worker_can_not_end_is_given_back(state: AgentState, queue: str) -> None:
    """Once its grace is over; the attempt does not count."""
    task = await state.tasks.enqueue(queue, "hang")
    worker = patient(state, queue, concurrency=1)
    worker.grace_s = 0.1

    async def handler(_task: ClaimedTask) -> None:
        worker.stop()
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        await worker.run(handler)
    kept = await state.tasks.find(queue, task.key)
    assert kept is not None
    assert (kept.status, kept.attempts) == (TaskStatus.QUEUED, 0)


async def test_a_worker_that_is_cancelled_gives_its_tasks_back(state: AgentState, queue: str) -> None:
    """They are due at once for the next worker."""
    await state.tasks.enqueue(queue, 1)
    began = asyncio.Event()

    async def handler(_task: ClaimedTask) -> None:
        began.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(patient(state, queue).run(handler))
    await asyncio.wait_for(began.wait(), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (held,) = await state.tasks.claim(queue, worker="next")
    assert held.task.attempts == 1


async def test_a_worker_hears_again_after_its_connection_was_cut(
    state: AgentState, db: outlive.Cluster, queue: str
) -> None:
    """Its listening connection is ended by the server: it makes another one, and misses nothing."""
    async with at_work(patient(state, queue), lambda task: task.payload):
        before = await listening(state)
        await db.fetch("select pg_terminate_backend(pid) from unnest($1::int[]) as pid", list(before), read="strong")
        await listening(state, but=before)
        kept = await woken(state, queue, "again")
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

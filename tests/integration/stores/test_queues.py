"""The queues from the shell, from programs without asyncio, and as telemetry has them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

import outlive
import outlive.sync
from integration.client.waiting import until
from outlive.cli.app import app
from outlive.errors import LeaseLostError, NotFoundError, VersionConflictError
from outlive.stores import AgentState, Backoff, NewTask, TaskStatus
from outlive.stores.sync import SyncAgentState, SyncClaimedTask, SyncTasks
from outlive.sync import SyncTransaction
from outlive.telemetry.events import Event, QueueMeasured, TaskClaimed, TaskEnded, TaskLost, TasksEnqueued

Run = Callable[..., Result]


@pytest.fixture
def run(database: str) -> Run:
    """The command on the module's database."""
    return lambda *arguments: CliRunner().invoke(app, ["state", "tasks", *arguments, "--dsn", database])


@pytest.fixture
def queue() -> str:
    """A queue that nothing else has."""
    return f"q-{uuid4()}"


@pytest.fixture
def tasks(database: str) -> Iterator[SyncTasks]:
    """The queues, without asyncio."""
    with outlive.sync.connect(database) as db:
        yield SyncAgentState(db).tasks


@pytest.fixture
async def heard(database: str) -> AsyncIterator[tuple[AgentState, list[Event]]]:
    """Stores, and what they tell."""
    events: list[Event] = []
    async with outlive.connect(database) as db:
        yield AgentState(db, telemetry=events.append), events


def printed(result: Result) -> object:
    """The JSON that a command printed."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_queue_is_seen_and_served_from_the_shell(run: Run, tasks: SyncTasks, queue: str) -> None:
    """Depth, a list by status, one task, a dead one queued again, one cancelled, ended ones purged."""
    for number in range(3):
        tasks.enqueue(queue, {"n": number}, key=f"k{number}", priority=-number, delay_s=3600.0 * (number == 2))
    (claimed,) = tasks.claim(queue, worker="w")
    claimed.fail("out of stamps\nand more", retry=False)
    assert printed(run("depth", "--queue", queue, "--json")) == [
        {"queue": queue, "due": 1, "delayed": 1, "running": 0, "dead": 1, "waits_s": pytest.approx(30, abs=30)}
    ]
    assert f"{queue}: 1 due" in run("depth").stdout
    assert "out of stamps" in run("list", "--queue", queue, "--status", "dead").stdout
    dead = str(claimed.task.id)
    shown = printed(run("show", dead, "--json"))
    assert isinstance(shown, dict)
    assert (shown["status"], shown["payload"], shown["key"]) == ("dead", {"n": 0}, "k0")
    assert printed(run("retry", dead, "--json")) == {"tasks": [claimed.task.id]}
    assert printed(run("cancel", dead, "--json")) == {dead: "cancelled"}
    assert "cancelled" in run("cancel", dead).stdout
    purged = printed(run("purge", "--older-than", "1d", "--json"))
    assert purged == {"deleted": 0}
    listed = printed(run("list", "--queue", queue, "--limit", "2", "--json"))
    assert isinstance(listed, list)
    assert [task["key"] for task in listed] == ["k0", "k1"]
    rest = printed(run("list", "--queue", queue, "--after", str(listed[-1]["id"]), "--json"))
    assert isinstance(rest, list)
    assert [task["key"] for task in rest] == ["k2"]
    assert tasks.expire(timedelta(microseconds=1)) >= 1
    assert tasks.find(queue, "k0") is None


def test_what_is_not_there_is_named(run: Run, tasks: SyncTasks, queue: str) -> None:
    """A status that there isn't, a task that there isn't, a retry of one that waits."""
    waiting = tasks.enqueue(queue, 1)
    for arguments, code, words in (
        (("list", "--status", "daed"), 2, "dead"),
        (("show", "999999999"), NotFoundError.exit_code, "there is no task 999999999"),
        (("retry", str(waiting.id)), VersionConflictError.exit_code, "queued"),
        (("purge", "--older-than", "soon"), 2, "soon"),
    ):
        result = run(*arguments)
        assert (result.exit_code, words in result.stderr) == (code, True), result.output


def test_a_program_without_asyncio_serves_a_queue(tasks: SyncTasks, queue: str) -> None:
    """Its handlers run in threads, several at once, with progress and results; one that raises is tried again."""
    both, tried, last = threading.Barrier(2, timeout=60), set[str](), threading.Barrier(2, timeout=60)
    worker = tasks.worker(queue, concurrency=2, backoff=Backoff(first_s=0.01))

    def handle(task: SyncClaimedTask) -> object:
        assert threading.current_thread() is not threading.main_thread()
        if task.key not in tried:
            tried.add(task.key)
            both.wait()
            raise RuntimeError("the first time")
        task.save_progress({"tried": True})
        last.wait()
        worker.stop()
        return task.payload["n"]

    tasks.enqueue_all([NewTask(queue, {"n": 1}, "a"), NewTask(queue, {"n": 2}, "b")])
    worker.run(handle)
    kept = {task.key: (task.result, task.attempts, task.progress) for task in tasks.listed(queue, TaskStatus.FINISHED)}
    assert kept == {"a": (1, 2, {"tried": True}), "b": (2, 2, {"tried": True})}


def test_a_task_is_a_part_of_a_transaction_without_asyncio(database: str, queue: str) -> None:
    """It is enqueued, and ended, with what else is written there."""
    with outlive.sync.connect(database) as db:
        tasks = SyncAgentState(db).tasks

        def enqueue(tx: SyncTransaction) -> None:
            tasks.enqueue_in(tx, [NewTask(queue, 1, "k")])

        db.run(enqueue)
        (claimed,) = tasks.claim(queue, worker="w", lease_s=60)
        assert tasks.renew([claimed], 60) == {claimed.task.id}

        def finish(tx: SyncTransaction) -> None:
            claimed.finish_in(tx, "done")

        db.run(finish)
        assert tasks.get(claimed.task.id).result == "done"


async def test_every_step_of_a_task_is_told(heard: tuple[AgentState, list[Event]], queue: str) -> None:
    """Enqueued, claimed with the seconds that it waited, failed, dead, finished, lost, and what is in the queue."""
    state, events = heard
    first, _, _ = await state.tasks.enqueue_all([NewTask(queue, n, str(n), 9 - n, None, 0.0, 2) for n in range(3)])
    for end in (False, True):
        (claimed,) = await state.tasks.claim(queue, worker="w", backoff=Backoff(first_s=0.0))
        assert claimed.task.id == first.id
        await claimed.fail("no", retry=not end)
    finishing, lost = await state.tasks.claim(queue, worker="w", limit=2)
    await finishing.finish()
    await state.tasks.cancel(lost.task.id)
    with pytest.raises(LeaseLostError):
        await lost.finish()
    await state.tasks.depths(queue)
    told = [event for event in events if getattr(event, "queue", None) == queue]
    assert [type(event) for event in told] == [
        TasksEnqueued, TaskClaimed, TaskEnded, TaskClaimed, TaskEnded, TaskClaimed, TaskClaimed, TaskEnded, TaskLost,
        QueueMeasured,
    ]  # fmt: skip
    assert [event.end for event in told if isinstance(event, TaskEnded)] == ["failed", "dead", "finished"]
    waits = [event.waited_s for event in told if isinstance(event, TaskClaimed)]
    assert [wait is None for wait in waits] == [False, True, False, False]
    assert all(wait >= 0 for wait in waits if wait is not None)
    assert told[-1] == QueueMeasured(queue, 0, 0, 0, 1, 0.0)


async def test_a_worker_tells_of_a_task_that_it_lost(heard: tuple[AgentState, list[Event]], queue: str) -> None:
    """Once, when its renewal finds out, and no end of it."""
    state, events = heard
    # With room for one task only, it can't claim the same one again where a renewal comes too late.
    worker, begun = state.tasks.worker(queue, concurrency=1, lease_s=0.3), asyncio.Event()

    async def handle(_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = await state.tasks.enqueue(queue, 1)
    async with asyncio.timeout(90), asyncio.TaskGroup() as group:
        group.create_task(worker.run(handle))
        await begun.wait()
        await state.tasks.cancel(task.id)
        await until(lambda: any(isinstance(event, TaskLost) and event.queue == queue for event in events))
        worker.stop()
    assert [type(event) for event in events if getattr(event, "queue", None) == queue].count(TaskLost) == 1
    assert not any(isinstance(event, TaskEnded) and event.queue == queue for event in events)

"""A queue of tasks on a real cluster: what is enqueued, claimed, kept and ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

import outlive
from integration.client.waiting import until
from outlive.errors import (
    ConfigurationError,
    KeyReusedError,
    LeaseLostError,
    NotFoundError,
    UnstorableError,
    VersionConflictError,
)
from outlive.stores import AgentState, Backoff, NewTask, Task, TaskStatus
from outlive.stores.plan.attempts import Bury, RetryAfter
from outlive.stores.queries import queries
from outlive.stores.shared import new_attempt

AT_ONCE = Backoff(first_s=0.001, cap_s=0.001)


@pytest.fixture
def queue() -> str:
    """The name of a queue that no other test uses."""
    return f"q-{uuid4()}"


async def lapse(db: outlive.Cluster, task: Task) -> None:
    """Let the lease of a task run out now."""
    await db.execute("update outlive.tasks set due_at = clock_timestamp() where id = $1", task.id)


async def again(state: AgentState, task: Task) -> Task:
    """The task as it is now."""
    kept = await state.tasks.find(task.queue, task.key)
    assert kept is not None
    return kept


async def test_the_same_key_is_one_task(state: AgentState, queue: str) -> None:
    """Enqueued twice with a payload it is one task, with another it is refused, and all of that call with it."""
    first = await state.tasks.enqueue(queue, {"to": "a", "n": 1.0}, key="k")
    assert await state.tasks.enqueue(queue, {"to": "a", "n": 1.0}, key="k", priority=7) == first
    with pytest.raises(KeyReusedError, match="'k'"):
        await state.tasks.enqueue_all([NewTask(queue, 1, key="new"), NewTask(queue, {"to": "b"}, key="k")])
    with pytest.raises(KeyReusedError, match="twice"):
        await state.tasks.enqueue_all([NewTask(queue, 1, key="new"), NewTask(queue, 1, key="new")])
    assert await state.tasks.find(queue, "new") is None
    assert (await state.tasks.counts(queue))[TaskStatus.QUEUED] == 1
    other = await state.tasks.enqueue(f"{queue}-other", {"to": "b"}, key="k")
    assert other.id != first.id


async def test_the_highest_priority_comes_first_then_what_is_due_for_longest(state: AgentState, queue: str) -> None:
    """One claim of all and claims one by one give the same order, over several queues, and no delayed task."""
    now = datetime.now(UTC)
    for round_of in range(2):
        queues = [f"{queue}-{round_of}-a", f"{queue}-{round_of}-b"]
        await state.tasks.enqueue_all(
            [
                NewTask(queues[0], "late", run_at=now - timedelta(seconds=1)),
                NewTask(queues[1], "low", priority=-3, run_at=now - timedelta(hours=9)),
                NewTask(queues[1], "early", run_at=now - timedelta(seconds=5)),
                NewTask(queues[0], "delayed", priority=9, delay_s=600),
                NewTask(queues[0], "high", priority=4),
            ]
        )
        if round_of:
            claims = [await state.tasks.claim(queues, worker="w") for _ in range(5)]
            order = [each.payload for claim in claims for each in claim]
        else:
            order = [each.payload for each in await state.tasks.claim(queues, worker="w", limit=10)]
        assert order == ["high", "early", "late", "low"]
        due_s = await state.tasks.next_due_s(queues)
        assert due_s is not None
        assert 0 < due_s <= 600


async def test_a_claim_that_is_said_twice_gets_the_same_tasks(
    state: AgentState, db: outlive.Cluster, queue: str
) -> None:
    """The retry of a claim, even beside the first one, gets what that took and no more; another claim the rest."""
    await state.tasks.enqueue_all([NewTask(queue, number) for number in range(6)])
    arguments = ([queue], "w", new_attempt(), 30.0, 2)

    async def claim() -> list[Any]:
        return await db.run(_fetch, queries("tasks")["claim"], *arguments, isolation="read_committed")

    answers = await asyncio.gather(*(claim() for _ in range(5)))
    assert {tuple(row["payload"] for row in rows) for rows in answers} == {("0", "1")}
    assert {row["attempts"] for rows in answers for row in rows} == {1}
    rest = await state.tasks.claim(queue, worker="w", limit=10)
    assert [each.payload for each in rest] == [2, 3, 4, 5]


async def _fetch(tx: outlive.Transaction, sql: str, *args: object) -> list[Any]:
    return await tx.fetch(sql, *args)


async def test_progress_is_for_whoever_goes_on(state: AgentState, db: outlive.Cluster, queue: str) -> None:
    """A lease that ran out is claimed by the next worker, with the progress; the first one can write nothing more."""
    await state.tasks.enqueue(queue, "p")
    (first,) = await state.tasks.claim(queue, worker="a")
    await first.save_progress({"page": 3})
    await first.heartbeat()
    assert await state.tasks.claim(queue, worker="b") == ()
    await lapse(db, first.task)
    (second,) = await state.tasks.claim(queue, worker="b")
    assert (second.progress, second.task.attempts, second.task.worker) == ({"page": 3}, 2, "b")
    for write in (first.finish(1), first.fail("late"), first.save_progress(0), first.heartbeat(), first.release()):
        with pytest.raises(LeaseLostError, match="'b'"):
            await write
    assert first.lost
    kept = await again(state, first.task)
    assert (kept.status, kept.progress, kept.error, kept.worker) == (TaskStatus.RUNNING, {"page": 3}, None, "b")
    assert await state.tasks.renew([first, second], 30) == {second.task.id}


async def test_a_lapsed_lease_that_nobody_took_is_good_still(
    state: AgentState, db: outlive.Cluster, queue: str
) -> None:
    """What fences a worker off is the next claim, not the clock."""
    await state.tasks.enqueue(queue, "p")
    (held,) = await state.tasks.claim(queue, worker="a")
    await lapse(db, held.task)
    await held.finish({"ok": True})
    assert (await again(state, held.task)).result == {"ok": True}


async def test_an_end_is_an_end(state: AgentState, queue: str) -> None:
    """Ending a task again in the same way is nothing, in another way it is refused, and it is not claimed again."""
    await state.tasks.enqueue(queue, "p")
    (held,) = await state.tasks.claim(queue, worker="a")
    with pytest.raises(UnstorableError, match="result of the task"):
        await held.finish(object())
    await held.finish([1])
    await held.finish([1])
    for write in (held.finish([2]), held.fail("no"), held.save_progress(1)):
        with pytest.raises(VersionConflictError, match="it is finished"):
            await write
    with pytest.raises(VersionConflictError, match="only a dead or cancelled one"):
        await state.tasks.requeue(held.task)
    assert await state.tasks.cancel(held.task.id) is TaskStatus.FINISHED
    assert await state.tasks.claim(queue, worker="b") == ()
    assert await state.tasks.next_due_s(queue) is None


async def test_a_task_that_fails_is_tried_again_then_dead_then_queued_by_hand(state: AgentState, queue: str) -> None:
    """It has its attempts and no more; the last error is kept, and a requeue gives it all of them again, once."""
    task = await state.tasks.enqueue(queue, "p", max_attempts=2)
    (first,) = await state.tasks.claim(queue, worker="a", backoff=Backoff(first_s=600))
    assert isinstance(await first.fail(ValueError("one\0")), RetryAfter)
    kept = await again(state, task)
    assert (kept.status, kept.error, kept.attempts) == (TaskStatus.QUEUED, "ValueError: one\\0", 1)
    due_s = await state.tasks.next_due_s(queue)
    assert due_s is not None
    assert 200 < due_s <= 600
    await _make_due(state, task)
    (second,) = await state.tasks.claim(queue, worker="a", backoff=AT_ONCE)
    assert await second.fail("two") == Bury()
    assert ((await again(state, task)).status, (await again(state, task)).error) == (TaskStatus.DEAD, "two")
    assert [dead.id async for dead in state.tasks.listed(queue, TaskStatus.DEAD)] == [task.id]
    await state.tasks.requeue(task)
    (third,) = await state.tasks.claim(queue, worker="a")
    assert (third.task.attempts, third.task.lease_token) == (1, 3)
    await third.fail("no use", retry=False)
    assert (await again(state, task)).status is TaskStatus.DEAD


async def _make_due(state: AgentState, task: Task) -> None:
    await state.tasks.db.execute("update outlive.tasks set due_at = clock_timestamp() where id = $1", task.id)


async def test_a_task_that_kills_its_workers_is_dead_in_the_end(
    state: AgentState, db: outlive.Cluster, queue: str
) -> None:
    """When the lease of the last attempt runs out, the claim that finds it buries it and takes the next task."""
    poison = await state.tasks.enqueue(queue, "poison", priority=1, max_attempts=2)
    await state.tasks.enqueue(queue, "good")
    for _ in range(2):
        (held,) = await state.tasks.claim(queue, worker="doomed")
        assert held.payload == "poison"
        await lapse(db, held.task)
    (good,) = await state.tasks.claim(queue, worker="w")
    assert good.payload == "good"
    kept = await again(state, poison)
    assert kept.status is TaskStatus.DEAD
    assert kept.error is not None
    assert "'doomed', ran out" in kept.error


async def test_a_task_that_is_given_back_was_not_tried(state: AgentState, queue: str) -> None:
    """It is due at once, and has as many attempts as before."""
    await state.tasks.enqueue(queue, "p", max_attempts=1)
    for _ in range(3):
        (held,) = await state.tasks.claim(queue, worker="a")
        assert held.task.attempts == 1
        await held.release()
        await held.release()
    assert await state.tasks.next_due_s(queue) == 0


async def test_a_cancelled_task_is_its_workers_no_more(state: AgentState, queue: str) -> None:
    """Its worker can end it no more; cancelling it again is nothing, and a requeue brings it back."""
    task = await state.tasks.enqueue(queue, "p")
    (held,) = await state.tasks.claim(queue, worker="a")
    assert await state.tasks.cancel(task.id) is TaskStatus.CANCELLED
    assert await state.tasks.cancel(task.id) is TaskStatus.CANCELLED
    with pytest.raises(LeaseLostError, match="it is cancelled"):
        await held.finish()
    await state.tasks.requeue(task)
    assert len(await state.tasks.claim(queue, worker="b")) == 1
    with pytest.raises(NotFoundError, match="task 0"):
        await state.tasks.cancel(0)


async def test_tasks_of_a_transaction_are_there_with_it_or_not_at_all(
    state: AgentState, db: outlive.Cluster, queue: str
) -> None:
    """What is enqueued or finished in a transaction that fails was not; in one that commits it was."""
    await state.tasks.enqueue(queue, "first")
    (held,) = await state.tasks.claim(queue, worker="a")

    async def work(tx: outlive.Transaction, fails: bool) -> None:
        await state.tasks.enqueue_in(tx, [NewTask(queue, "second", key="second")])
        await held.finish_in(tx, "done")
        if fails:
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        await db.run(work, True)
    assert await state.tasks.find(queue, "second") is None
    assert (await again(state, held.task)).status is TaskStatus.RUNNING
    await db.run(work, False)
    assert await state.tasks.find(queue, "second") is not None
    assert (await again(state, held.task)).result == "done"


async def test_a_task_of_a_conversation_is_erased_with_it(state: AgentState, db: outlive.Cluster, queue: str) -> None:
    """It says whose it is; without such a conversation it is refused."""
    name = f"c-{uuid4()}"
    with pytest.raises(NotFoundError, match=name):
        await state.tasks.enqueue(queue, 1, conversation=name)
    await state.conversations.create([name])
    task = await state.tasks.enqueue(queue, 1, conversation=name)
    assert task.conversation == name
    await db.execute("delete from outlive.conversations where id = $1", name)
    assert await state.tasks.find(queue, task.key) is None


async def test_what_ended_long_ago_is_deleted_in_batches(state: AgentState, db: outlive.Cluster, queue: str) -> None:
    """Finished and cancelled tasks of that age go; dead, young and unfinished ones stay."""
    await state.tasks.enqueue_all([NewTask(queue, number, max_attempts=1) for number in range(7)])
    held = await state.tasks.claim(queue, worker="a", limit=6)
    for each in held[:5]:
        await each.finish()
    await held[5].fail("dead")
    await db.execute(
        "update outlive.tasks set ended_at = ended_at - interval '1 day' where queue = $1 and id <> $2",
        queue,
        held[0].task.id,
    )
    assert await state.tasks.expire(timedelta(hours=1), batch=2) >= 4
    counts = {status: count for status, count in (await state.tasks.counts(queue)).items() if count}
    assert counts == {TaskStatus.FINISHED: 1, TaskStatus.DEAD: 1, TaskStatus.QUEUED: 1}


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"payload": {1: 2}}, "not a string"),
        ({"payload": "x" * 9_000_000}, "9,000,002 bytes"),
        ({"payload": "a\0b"}, "NUL"),
        ({"priority": 101}, "priority"),
        ({"priority": True}, "priority"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"delay_s": -1}, "delay_s"),
        ({"delay_s": float("nan")}, "delay_s"),
        ({"run_at": datetime(2026, 1, 1)}, "aware"),  # noqa: DTZ001
        ({"run_at": "tomorrow"}, "aware"),
        ({"key": ""}, "key"),
        ({"queue": ""}, "queue"),
    ],
)
async def test_a_task_that_makes_no_sense_is_refused(
    state: AgentState, queue: str, bad: dict[str, Any], named: str
) -> None:
    """The error names what is wrong, and nothing was sent."""
    with pytest.raises(UnstorableError, match=named):
        await state.tasks.enqueue_all([replace(NewTask(queue, 1), **bad)])
    assert sum((await state.tasks.counts(queue)).values()) == 0


async def test_a_claim_that_makes_no_sense_is_refused(state: AgentState, queue: str) -> None:
    """Limits, leases and names are checked first."""
    for bad in ({"limit": 0}, {"limit": 1001}, {"lease_s": 0}, {"lease_s": float("nan")}):
        with pytest.raises(ConfigurationError):
            await state.tasks.claim(queue, worker="w", **bad)
    with pytest.raises(ConfigurationError, match="at least one"):
        await state.tasks.claim([], worker="w")
    with pytest.raises(UnstorableError, match="worker's name"):
        await state.tasks.claim(queue, worker="")
    with pytest.raises(ConfigurationError, match="concurrency"):
        state.tasks.worker(queue, concurrency=0)


async def test_claims_beside_each_other_share_the_tasks(state: AgentState, queue: str) -> None:
    """Ten workers claim at once, none waits for another, and each task is one's."""
    await state.tasks.enqueue_all([NewTask(queue, number) for number in range(100)])
    claims = await asyncio.gather(*(state.tasks.claim(queue, worker=f"w{n}", limit=10) for n in range(10)))
    taken = [each.payload for claim in claims for each in claim]

    async def rest() -> bool:
        more = await state.tasks.claim(queue, worker="w", limit=10)
        taken.extend(each.payload for each in more)
        return len(taken) >= 100

    await until(rest)
    assert sorted(taken) == list(range(100))

"""Effects outside the database on a real cluster: recorded with what asks for them, delivered with one key."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any
from uuid import uuid4

import pytest

import outlive
from integration.client.waiting import until
from integration.test_conversations_cut_commits import through
from outlive.errors import KeyReusedError, LeaseLostError, UnstorableError
from outlive.stores import AgentState, Backoff, NewTask, Task, TaskStatus
from outlive.testing import FaultProxy


@pytest.fixture
def queue() -> str:
    """The name of a queue that no other test uses; conversations are named like it."""
    return f"q-{uuid4()}"


async def queued(state: AgentState, queue: str) -> list[Task]:
    """The effects that wait to be delivered."""
    return [task async for task in state.tasks.listed(queue, TaskStatus.QUEUED)]


async def test_an_effect_is_there_with_its_turn(state: AgentState, queue: str) -> None:
    """The turn said again brings it no second time, not even when it was delivered and forgotten meanwhile."""
    async with await state.conversations.open(queue, worker="a") as conversation:
        effects = [NewTask(queue, {"to": "ada"}), NewTask(queue, {"to": "bob"})]
        for _ in range(2):
            await conversation.append("t1", "assistant", "sent", effects=effects)
        first, second = await queued(state, queue)
        assert (first.payload, second.payload) == ({"to": "ada"}, {"to": "bob"})
        assert first.key != second.key
        assert first.conversation == queue
        await state.tasks.db.execute("delete from outlive.tasks where queue = $1", queue)
        await conversation.append("t1", "assistant", "sent", effects=effects)
        assert await queued(state, queue) == []


async def test_an_effect_is_not_there_without_its_turn(state: AgentState, queue: str) -> None:
    """A turn that is refused brings none, and an effect that is refused leaves no turn."""
    conversation = await state.conversations.open(queue, worker="a")
    await conversation.append("t1", "user", "hello")
    with pytest.raises(KeyReusedError, match="turn 't1'"):
        await conversation.append("t1", "user", "other", effects=[NewTask(queue, 1)])
    with pytest.raises(UnstorableError, match="payload"):
        await conversation.append("t2", "user", "x", effects=[NewTask(queue, object())])
    await conversation.append("t3", "user", "x", effects=[NewTask(queue, 1, key="k")])
    with pytest.raises(KeyReusedError, match="task 'k'"):
        await conversation.append("t4", "user", "x", effects=[NewTask(queue, 2, key="k")])
    thief = await state.conversations.open(queue, worker="a")
    with pytest.raises(LeaseLostError):
        await conversation.append("t5", "user", "x", effects=[NewTask(queue, 5)])
    assert [turn.id for turn in (await state.conversations.load(queue)).turns] == ["t1", "t3"]
    assert [task.payload for task in await queued(state, queue)] == [1]
    await thief.release()


async def test_an_effect_is_there_with_the_result_of_a_tool(state: AgentState, queue: str) -> None:
    """A call that fails brings none, one that is finished brings its own, and a replay no more."""

    def book(fails: bool) -> dict[str, Any]:
        if fails:
            raise ValueError
        return {"booking": 7}

    def confirm(result: dict[str, Any]) -> list[NewTask]:
        return [NewTask(queue, {"mail": result["booking"]})]

    async with await state.conversations.open(queue, worker="a") as conversation:
        with pytest.raises(ValueError):  # noqa: PT011
            await conversation.tool_call("c1", book, True, effects=confirm)
        assert await queued(state, queue) == []
        for _ in range(2):
            assert await conversation.tool_call("c2", book, False, effects=confirm) == {"booking": 7}
    assert [task.payload for task in await queued(state, queue)] == [{"mail": 7}]


async def test_effects_are_delivered_with_one_key_whatever_answers_are_lost(
    state: AgentState, db: outlive.Cluster, database: str, queue: str
) -> None:
    """Commits are cut, and every third delivery fails once it was done: who knows keys has each effect once."""
    received: dict[str, Any] = {}
    deliveries = 0

    def deliver(task: Any) -> None:
        nonlocal deliveries
        deliveries += 1
        received.setdefault(task.key, task.payload)
        if deliveries % 3 == 0:
            raise ConnectionError("the receiver has it, and its answer was lost")

    async with FaultProxy((await db.wait_primary()).address.port, random=Random(11)) as proxy:
        proxy.cut_commit("before", probability=0.2)
        proxy.cut_commit("after", probability=0.25)
        async with outlive.connect(through(proxy.port, database)) as cut:
            conversation = await AgentState(cut).conversations.open(queue, worker="a")
            for number in range(20):
                await conversation.append(f"t{number}", "assistant", number, effects=[NewTask(queue, number)])
            await conversation.complete()
    assert {"before", "after"} <= set(proxy.cuts)
    tasks = await queued(state, queue)
    assert [task.payload for task in tasks] == list(range(20))
    await _deliver(state, queue, deliver, 20)
    assert sorted(received.values()) == list(range(20))
    assert received.keys() == {task.key for task in tasks}
    assert deliveries > 20


async def _deliver(state: AgentState, queue: str, deliver: Any, count: int) -> None:
    worker = state.tasks.worker(queue, backoff=Backoff(first_s=0.01, cap_s=0.01))

    async def done() -> bool:
        return (await state.tasks.counts(queue))[TaskStatus.FINISHED] == count

    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(deliver))
        await until(done, 60)
        worker.stop()

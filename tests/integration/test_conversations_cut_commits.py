"""A conversation survives commits whose answers are lost: nothing twice, nothing missing, no error to the agent."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from uuid import uuid4

import outlive
from integration.conftest import RunningCluster
from outlive.client import dsn as dsns
from outlive.model.topology import Address
from outlive.stores import AgentState, migrate
from outlive.testing import FaultProxy

STEPS = 25


async def test_lost_answers_are_no_news_to_an_agent(cluster: RunningCluster) -> None:
    """Two of five commits are cut, before or after the server has them: each write is kept once, each tool run once."""
    name = f"cut-{uuid4()}"
    async with outlive.connect(cluster.dsn) as db:
        await migrate(db)
        async with FaultProxy((await db.wait_primary()).address.port, random=Random(7)) as proxy:
            proxy.cut_commit("before", probability=0.2)
            proxy.cut_commit("after", probability=0.25)
            executed = await live(name, through(proxy.port, cluster.dsn))
        picture = await AgentState(db).conversations.load(name)
    assert {"before", "after"} <= set(proxy.cuts)
    assert [(turn.position, turn.content) for turn in picture.turns] == [(step, step) for step in range(STEPS)]
    assert executed == Counter(range(STEPS))
    assert [call.attempts for call in picture.tool_calls] == [1] * STEPS
    assert picture.checkpoint is not None
    assert (picture.checkpoint.version, picture.checkpoint.state) == (STEPS, STEPS - 1)
    assert picture.status == "complete"


async def live(name: str, dsn: str) -> Counter[int]:
    """Use a tool, append and checkpoint, step by step; how often each step's tool was executed."""
    executed: Counter[int] = Counter()

    def tool(step: int) -> int:
        executed[step] += 1
        return step

    async with outlive.connect(dsn) as db:
        conversation = await AgentState(db).conversations.open(name, worker="alice")
        for step in range(STEPS):
            result = await conversation.tool_call(f"call-{step}", tool, step)
            await conversation.append(f"turn-{step}", "tool", result)
            await conversation.checkpoint(step)
        await conversation.complete()
    return executed


def through(port: int, dsn: str) -> str:
    """The DSN that knows one node only: the proxy."""
    return replace(dsns.resolve(dsn), hosts=(Address("127.0.0.1", port),)).render()

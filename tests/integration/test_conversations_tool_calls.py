"""Tool calls on a real cluster: run once, replayed after, and nobody's guess when interrupted."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

import outlive
from integration.conftest import RunningCluster
from outlive.errors import (
    ConfigurationError,
    InterruptedCallError,
    KeyReusedError,
    NotFoundError,
    UnstorableError,
    VersionConflictError,
)
from outlive.stores import AgentState, CallStatus, Conversation, Cost, migrate


class Tool:
    """A tool that counts how often it was really executed."""

    def __init__(self, *results: Any) -> None:
        self.executions = 0
        self._results = iter(results)

    async def __call__(self, *_args: Any) -> Any:
        self.executions += 1
        result = next(self._results)
        if isinstance(result, BaseException):
            raise result
        return result


@pytest.fixture
async def state(cluster: RunningCluster) -> AsyncIterator[AgentState]:
    """The stores of the cluster, the schema made."""
    async with outlive.connect(cluster.dsn) as db:
        await migrate(db)
        yield AgentState(db)


@pytest.fixture
async def conversation(state: AgentState) -> Conversation:
    """A new conversation, held by `alice`."""
    return await state.conversations.open(f"tools-{uuid4()}", worker="alice")


async def reopened(state: AgentState, conversation: Conversation) -> Conversation:
    """The conversation as the next self of its worker finds it."""
    return await state.conversations.open(conversation.id, worker="alice")


async def test_a_finished_call_is_replayed_and_not_run(state: AgentState, conversation: Conversation) -> None:
    """By the same worker and by the next one; what the caller does to a result alters no replay."""
    tool = Tool({"rooms": [1, 2]})
    first = await conversation.tool_call("k", tool, {"night": 1})
    first["rooms"].clear()
    assert await conversation.tool_call("k", tool, {"night": 1}) == {"rooms": [1, 2]}
    assert await (await reopened(state, conversation)).tool_call("k", tool, {"night": 1}) == {"rooms": [1, 2]}
    assert tool.executions == 1


async def test_a_result_is_what_json_gives_back_the_first_time_too(conversation: Conversation) -> None:
    """A tuple is a list in the replay, so it is one at once."""
    assert await conversation.tool_call("k", Tool((1, (2, 3)))) == [1, [2, 3]]
    assert await conversation.tool_call("none", Tool(None)) is None
    assert await conversation.tool_call("none", Tool()) is None


async def test_plain_functions_are_tools_too(conversation: Conversation) -> None:
    """The row names the function, through a partial as well."""

    def double(x: int) -> int:
        return 2 * x

    assert await conversation.tool_call("a", double, 21) == 42
    assert await conversation.tool_call("b", functools.partial(double, 4)) == 8
    assert [conversation.tool_calls[key].name for key in "ab"] == ["double", "double"]


@pytest.mark.parametrize("reopen", [False, True])
async def test_a_key_with_another_request_is_refused(
    state: AgentState, conversation: Conversation, reopen: bool
) -> None:
    """Other arguments or another tool under the same key are another call."""
    tool = Tool(1)
    await conversation.tool_call("k", tool, "a", name="look")
    if reopen:
        conversation = await reopened(state, conversation)
    with pytest.raises(KeyReusedError, match="'k'"):
        await conversation.tool_call("k", tool, "b", name="look")
    with pytest.raises(KeyReusedError, match="'k'"):
        await conversation.tool_call("k", tool, "a", name="touch")
    assert tool.executions == 1


async def test_a_failure_is_noted_and_the_next_call_runs_again(state: AgentState, conversation: Conversation) -> None:
    """The tool's own exception reaches the caller untouched."""
    tool = Tool(RuntimeError("out of\0 paper"), "printed")
    with pytest.raises(RuntimeError, match="out of"):
        await conversation.tool_call("k", tool)
    (failed,) = (await state.conversations.load(conversation.id)).tool_calls
    assert (failed.status, failed.error) == (CallStatus.FAILED, "RuntimeError: out of\\0 paper")
    assert await conversation.tool_call("k", tool) == "printed"
    (finished,) = (await state.conversations.load(conversation.id)).tool_calls
    assert (finished.status, finished.attempts, finished.error) == (CallStatus.FINISHED, 2, None)


async def test_a_result_that_can_t_be_kept_is_a_failure(state: AgentState, conversation: Conversation) -> None:
    """The error says which call; the row says that it failed."""
    with pytest.raises(UnstorableError, match=r"the result of the tool call 'k'.*type set"):
        await conversation.tool_call("k", Tool({1, 2}))
    (failed,) = (await state.conversations.load(conversation.id)).tool_calls
    assert failed.status is CallStatus.FAILED


async def test_arguments_that_can_t_be_kept_start_nothing(state: AgentState, conversation: Conversation) -> None:
    """Neither the tool runs nor a row appears."""
    tool = Tool(1)
    with pytest.raises(UnstorableError, match="the arguments of the tool call 'k'"):
        await conversation.tool_call("k", tool, object())
    assert (await state.conversations.load(conversation.id)).tool_calls == ()
    assert tool.executions == 0


async def interrupt(conversation: Conversation) -> None:
    """Leave a call as a killed worker does: started, its end unknown."""
    started = asyncio.Event()

    async def endless(_x: str) -> None:
        started.set()
        await asyncio.Event().wait()

    calling = asyncio.create_task(conversation.tool_call("k", endless, "a", name="pay"))
    await asyncio.wait_for(started.wait(), 60)
    calling.cancel()
    await asyncio.wait([calling])


async def test_an_interrupted_call_is_run_again_by_declaration(state: AgentState, conversation: Conversation) -> None:
    """The next worker runs it, and the row counts the attempts."""
    await interrupt(conversation)
    heir = await reopened(state, conversation)
    assert heir.tool_calls["k"].status is CallStatus.STARTED
    assert await heir.tool_call("k", Tool("paid"), "a", name="pay", on_interrupted="rerun") == "paid"
    assert (await state.conversations.load(heir.id)).tool_calls[0].attempts == 2


async def test_an_interrupted_call_may_be_left_to_the_caller(state: AgentState, conversation: Conversation) -> None:
    """Asked to ask, nothing runs; the caller finds out and records the result."""
    await interrupt(conversation)
    heir, tool = await reopened(state, conversation), Tool()
    with pytest.raises(InterruptedCallError, match=r"'k'.*its end is not known"):
        await heir.tool_call("k", tool, "a", name="pay", on_interrupted="ask")
    await heir.settle_tool_call("k", {"receipt": 7}, Cost(1, Decimal("0.5")))
    assert await heir.tool_call("k", tool, "a", name="pay", on_interrupted="ask") == {"receipt": 7}
    assert tool.executions == 0


async def test_a_call_that_ended_is_not_settled_otherwise(conversation: Conversation) -> None:
    """A result is kept for good."""
    await conversation.tool_call("k", Tool("paid"))
    await conversation.settle_tool_call("k", "paid")
    with pytest.raises(VersionConflictError, match="'k'"):
        await conversation.settle_tool_call("k", "not paid")
    with pytest.raises(NotFoundError, match="'unknown'"):
        await conversation.settle_tool_call("unknown", 1)


async def test_two_tasks_with_one_key_run_it_once(conversation: Conversation) -> None:
    """The second waits for the first and has its result."""
    tool = Tool("once")
    assert await asyncio.gather(*(conversation.tool_call("k", tool) for _ in range(5))) == ["once"] * 5
    assert tool.executions == 1


async def test_a_call_costs_what_it_says(state: AgentState, conversation: Conversation) -> None:
    """The cost may be read off the result."""
    await conversation.tool_call("k", Tool({"used": 12}), cost=lambda result: Cost(result["used"], Decimal("0.0001")))
    (call,) = (await state.conversations.load(conversation.id)).tool_calls
    assert (call.tokens, call.dollars) == (12, Decimal("0.0001"))


async def test_an_unknown_declaration_is_refused(conversation: Conversation) -> None:
    """A misspelt word must not decide what runs twice."""
    with pytest.raises(ConfigurationError, match="'retry'"):
        await conversation.tool_call("k", Tool(1), on_interrupted="retry")  # type: ignore[arg-type]

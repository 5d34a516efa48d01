"""What can't be kept is refused by every store before anything of it is written, and says why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint

import outlive
from outlive.adapters.langgraph import OutliveSaver
from outlive.errors import UnstorableError
from outlive.stores import AgentState, NewTurn
from outlive.stores.app_sessions import SessionName, States
from outlive.stores.histories import Entry, History
from outlive.stores.items import Put

LIMIT = 1_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Write = Callable[[AgentState, Any], Awaitable[object]]


async def _append(state: AgentState, value: Any) -> None:
    async with await state.conversations.open("bad", worker="w") as conversation:
        await conversation.append("t1", "user", value)


async def _checkpoint(state: AgentState, value: Any) -> None:
    async with await state.conversations.open("bad", worker="w") as conversation:
        await conversation.checkpoint({"x": value})


async def _call(state: AgentState, value: Any) -> None:
    async with await state.conversations.open("bad", worker="w") as conversation:
        await conversation.tool_call("k", lambda given: given, value)


async def _progress(state: AgentState, value: Any) -> None:
    await state.tasks.enqueue("bad", 1, key="bad")
    (claimed,) = await state.tasks.claim("bad", worker="w")
    try:
        await claimed.save_progress(value)
    finally:
        await claimed.release()


async def _session(state: AgentState, value: Any) -> None:
    await state.app_sessions.create(SessionName("app", "bad", "1"), States(session={"x": value}), NOW)


async def _history(state: AgentState, value: Any) -> None:
    history = History("bad", "r1", "e1", {}, NOW, None)
    await state.histories.write(history, [Entry("e1", None, value)], expected=None)


WRITES: dict[str, Write] = {
    "a turn": _append,
    "a checkpoint": _checkpoint,
    "a tool call": _call,
    "metadata": lambda state, value: state.conversations.create(["worse"], metadata={"x": value}),
    "a shared turn": lambda state, value: state.shared.append("worse", [NewTurn("t", "user", value)]),
    "an agent's state": lambda state, value: state.save_agent_state("bad", {"x": value}, 0),
    "a preference": lambda state, value: state.preferences.set("bad", "k", value),
    "a task": lambda state, value: state.tasks.enqueue("worse", value),
    "progress": _progress,
    "an event": lambda state, value: state.events.append([state.events.new("bad", value)]),
    "an audit entry": lambda state, value: state.audit.record("bad", actor="w", details=value),
    "a document": lambda state, value: state.context.add("bad", [outlive.stores.NewDocument("x", {"x": value})]),
    "an item": lambda state, value: state.items.put([Put(("bad",), "k", {"x": value})]),
    "an app's session": _session,
    "a history": _history,
}
BAD = {
    "NUL": ("a\0b", "NUL"),
    "half a character": ("\ud800", "surrogate"),
    "no JSON": (object(), "object"),
    "no number": (float("nan"), "float"),
    "too large": ("x" * LIMIT, "1,0"),
}


async def _rows(superuser: asyncpg.Connection) -> dict[str, int]:
    names = await superuser.fetch(
        "select relname as name from pg_class where relnamespace = 'outlive'::regnamespace and relkind = 'r'"
    )
    return {row["name"]: await superuser.fetchval(f'select count(*) from outlive."{row["name"]}"') for row in names}


@pytest.fixture
async def begun(state: AgentState) -> None:
    """What a bad write needs is there already, so that a row that is new is one of the bad write's own."""
    await _append(state, "good")
    await _progress(state, "good")


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("bad", BAD)
async def test_no_store_keeps_half_of_what_it_refuses(
    db: outlive.Cluster, superuser: asyncpg.Connection, bad: str
) -> None:
    """Each store names the flaw, the size and the limit if it is that; no table has a row more."""
    state = AgentState(db, max_value_bytes=LIMIT)
    value, flaw = BAD[bad]
    before = await _rows(superuser)
    said = {}
    for name, write in WRITES.items():
        with pytest.raises(UnstorableError) as refused:
            await write(state, value)
        said[name] = str(refused.value)
    assert await _rows(superuser) == before
    assert {name: text for name, text in said.items() if flaw.lower() not in text.lower()} == {}


@pytest.mark.usefixtures("begun")
async def test_a_graph_whose_state_can_t_be_serialized_keeps_nothing(
    db: outlive.Cluster, superuser: asyncpg.Connection
) -> None:
    """The error comes before anything of the checkpoint is written."""
    config: RunnableConfig = {"configurable": {"thread_id": "bad", "checkpoint_ns": ""}}
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"], checkpoint["channel_versions"] = (
        {"good": "x" * 100, "bad": iter([1])},
        {"good": 1, "bad": 1},
    )
    before = await _rows(superuser)
    with pytest.raises((UnstorableError, TypeError)):
        await OutliveSaver(db).aput(config, checkpoint, {}, {"good": 1, "bad": 1})
    assert await _rows(superuser) == before

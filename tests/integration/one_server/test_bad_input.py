"""What can't be kept is refused by every store before anything of it is written, and says why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint

import outlive
from outlive.adapters.langgraph import OutliveSaver
from outlive.errors import ConfigurationError, UnstorableError
from outlive.stores import AgentState, Event, NewTurn
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


async def _lines(state: AgentState, name: str) -> list[str]:
    return [line async for line in state.conversations.export(name)]


READS: dict[str, Callable[[AgentState, str], Awaitable[object]]] = {
    "load": lambda state, name: state.conversations.load(name),
    "claim": lambda state, name: state.conversations.claim([name], worker="w"),
    "count": lambda state, name: state.conversations.count_open([name]),
    "set metadata": lambda state, name: state.conversations.set_metadata(name, {}),
    "remove metadata": lambda state, name: state.conversations.merge_metadata("bad", {}, remove=[name]),
    "fork": lambda state, name: state.conversations.fork(name, "fork"),
    "export": _lines,
    "contents": lambda state, name: state.shared.contents(name),
    "an agent's state": lambda state, name: state.load_agent_state(name),
    "a preference": lambda state, name: state.preferences.get("s", name),
    "preferences": lambda state, name: state.preferences.all(name),
    "a task": lambda state, name: state.tasks.find("q", name),
    "tasks": lambda state, name: state.tasks.page(queue=name),
    "a task's conversation": lambda state, name: state.tasks.enqueue("q", 1, conversation=name),
    "documents": lambda state, name: state.context.get(name),
    "words": lambda state, name: state.context.search_text(name),
    "an answer": lambda state, name: state.llm_cache.find(name, "p", {}),
    "events": lambda state, name: state.events.read(subject=name),
    "a made event": lambda state, name: state.events.append([Event(uuid4(), NOW, name, None, 1)]),
    "entries": lambda state, name: state.audit.last(subject=name),
    "a session": lambda state, name: state.app_sessions.load(SessionName("a", "u", name)),
    "a history": lambda state, name: state.histories.read(name),
    "an item": lambda state, name: state.items.get([(("ns",), name)]),
    "items": lambda state, name: state.items.search((name,), {}, 0, 1),
    "items that match": lambda state, name: state.items.search(("ns",), {"a": name}, 0, 1),
    "namespaces": lambda state, name: state.items.namespaces([((name,), False)], None, 0, 1),
}
"""What only looks for a name, or changes what should be there: the name may have come from anywhere."""


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
@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
async def test_a_name_that_no_database_holds_is_refused_by_whoever_looks_for_it(state: AgentState, name: str) -> None:
    """The error is the product's own, as it is where something is written."""
    raised: dict[str, type[Exception] | None] = {}
    for read, work in READS.items():
        try:
            await work(state, name)
        except Exception as error:  # whatever it is, it is compared
            raised[read] = type(error)
        else:
            raised[read] = None
    assert raised == dict.fromkeys(READS, UnstorableError)


MISTAKES: dict[str, tuple[type[Exception], Callable[[AgentState], Awaitable[object]]]] = {
    "one id for several": (UnstorableError, lambda state: state.conversations.create("abc")),
    "one id to claim": (UnstorableError, lambda state: state.conversations.claim("abc", worker="w")),
    "one key to remove": (UnstorableError, lambda state: state.conversations.merge_metadata("bad", {}, remove="ab")),
    "one document for several": (UnstorableError, lambda state: state.context.add("s", "abc")),
    "metadata that is a list": (UnstorableError, lambda state: state.conversations.create(["x"], metadata=[1])),  # type: ignore[arg-type]
    "a moment of no zone": (ConfigurationError, lambda state: state.events.read(since=datetime(2026, 1, 1))),  # noqa: DTZ001
    "a moment of no zone to count": (ConfigurationError, lambda state: state.events.count(until=datetime(2026, 1, 1))),  # noqa: DTZ001
    "no page": (ConfigurationError, lambda state: state.audit.verify(page=0)),
    "older than the calendar": (ConfigurationError, lambda state: state.conversations.retention(timedelta.max)),
    "pruned by an age like that": (ConfigurationError, lambda state: state.audit.prune(timedelta.max)),
    "tasks that will end": (ConfigurationError, lambda state: state.tasks.expire(timedelta(days=-1))),
    "due before all time": (
        UnstorableError,
        lambda state: state.tasks.enqueue("q", 1, run_at=datetime.min.replace(tzinfo=UTC)),
    ),
    "events of all ages": (ConfigurationError, lambda state: state.events.maintain(1e12)),
    "a page of no list": (ConfigurationError, lambda state: state.conversations.list(after="9" * 5_000)),
    "a tool of no name": (UnstorableError, lambda state: _named(state, "\ud800")),
    "more than all dollars": (UnstorableError, lambda state: _paid(state, Decimal("1e300"))),
    "dollars of no digits": (UnstorableError, lambda state: _paid(state, Decimal("1e-400"))),
}


async def _named(state: AgentState, name: str) -> None:
    async with await state.conversations.open("bad", worker="w") as conversation:
        await conversation.tool_call("k", lambda: 1, name=name)


async def _paid(state: AgentState, dollars: Decimal) -> None:
    async with await state.conversations.open("bad", worker="w") as conversation:
        await conversation.append("paid", "user", "x", dollars=dollars)


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("mistake", MISTAKES)
async def test_what_makes_no_sense_is_refused_as_such(
    state: AgentState, superuser: asyncpg.Connection, mistake: str
) -> None:
    """Nothing is kept of it: one string is no list of its letters, and a moment means the same on every machine."""
    refusal, work = MISTAKES[mistake]
    before = await _rows(superuser)
    with pytest.raises(refusal):
        await work(state)
    assert await _rows(superuser) == before


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

"""Numbers in what PostgreSQL keeps as jsonb come back as they were: a float as a float, an integer as an integer."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from random import Random

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint

import outlive
from outlive.adapters.langgraph import OutliveSaver
from outlive.stores import AgentState, NewDocument
from outlive.stores.app_sessions import SessionName, States
from outlive.stores.items import Put

EDGES = [1e15, 1e16, -1e16, 1.5e16, 1e308, 1.7976931348623157e308, 5e-324, 1e-7, 0.1, 1.0, 10**15, 10**16, 10**40]
CHANCE = Random(5)
ANY = [struct.unpack("d", CHANCE.randbytes(8))[0] for _ in range(500)]
NUMBERS = [*EDGES, *filter(math.isfinite, ANY)]
VALUE = {"numbers": NUMBERS, "text": "1e+16"}
GRAPH: RunnableConfig = {"configurable": {"thread_id": "numbers", "checkpoint_ns": ""}}


def same(value: object) -> None:
    """Find every number again, as what it was."""
    assert repr(value) == repr(VALUE) or repr(value) == repr(dict(reversed(VALUE.items())))


async def test_in_the_metadata_of_conversations(state: AgentState) -> None:
    """Through an export and an import too, which finds that it is the same."""
    await state.conversations.open("numbers", worker="w", metadata=VALUE)
    same((await state.conversations.load("numbers")).metadata)
    lines = [line async for line in state.conversations.export("numbers")]
    assert (await state.conversations.import_(lines)).unchanged == 1
    copy = [line.replace('"id":"numbers"', '"id":"copy"') for line in lines]
    assert (await state.conversations.import_(copy)).imported == 1
    same((await state.conversations.load("copy")).metadata)


async def test_in_documents_and_items(state: AgentState) -> None:
    """And a filter finds them by a float, however it was written down."""
    await state.context.add("source", [NewDocument("content", metadata=VALUE)])
    same((await state.context.get("source"))[0].metadata)
    assert len(await state.context.search_text("content", metadata={"numbers": [1e16]})) == 1
    await state.items.put([Put(("ns",), "key", VALUE)])
    same((await state.items.get([(("ns",), "key")]))[("ns",), "key"].value)


async def test_in_the_sessions_of_applications(state: AgentState) -> None:
    """In the state of each of the three scopes."""
    name = SessionName("app", "user", "1")
    await state.app_sessions.create(name, States(VALUE, VALUE, VALUE), datetime.now(UTC))
    session = await state.app_sessions.load(name)
    assert session is not None
    for states in (session.states.app, session.states.user, session.states.session):
        same(states)


async def test_in_the_metadata_of_a_graph(db: outlive.Cluster) -> None:
    """What a graph keeps beside its checkpoint."""
    saver = OutliveSaver(db)
    await saver.aput(GRAPH, empty_checkpoint(), {"source": "input", "found": VALUE}, {})  # type: ignore[typeddict-unknown-key]
    kept = await saver.aget_tuple(GRAPH)
    assert kept is not None
    same(dict(kept.metadata)["found"])

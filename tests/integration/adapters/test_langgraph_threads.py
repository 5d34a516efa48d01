"""Threads that come from LangGraph's own saver, and channels that are built up from writes."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import psycopg
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt
from psycopg.rows import dict_row

import outlive
from outlive.adapters.langgraph import OutliveSaver, import_threads


class State(TypedDict):
    """A conversation, and what was agreed."""

    messages: Annotated[list[AnyMessage], add_messages]
    agreed: list[str]


def ask(state: State) -> dict[str, Any]:
    """Ask a person before answering."""
    said = interrupt("may I?")
    return {"messages": [AIMessage(f"{said} {len(state['messages'])}")], "agreed": [*state.get("agreed", []), said]}


def graph(saver: BaseCheckpointSaver[Any]) -> Any:
    """One node that is interrupted."""
    return StateGraph(State).add_node("ask", ask).add_edge(START, "ask").compile(checkpointer=saver)


def thread(name: str | None = None) -> RunnableConfig:
    """A thread's config."""
    return {"configurable": {"thread_id": name or str(uuid4())}}


def _with_theirs(dsn: str, name: str) -> list[Any]:
    """Three turns by LangGraph's own saver, the last one still interrupted; the history that it shows."""
    source = f"{dsn}{'&' if '?' in dsn else '?'}target_session_attrs=read-write"
    with psycopg.connect(source, autocommit=True, prepare_threshold=0, row_factory=dict_row) as connection:
        theirs = PostgresSaver(connection)
        theirs.setup()
        running = graph(theirs)
        for turn in range(3):
            running.invoke({"messages": [HumanMessage(f"turn {turn}", id=f"{turn}")]}, thread(name))
            if turn < 2:
                running.invoke(Command(resume=f"yes {turn}"), thread(name))
        return [_shown(each) for each in running.get_state_history(thread(name))]


def _shown(state: Any) -> Any:
    return state.config, state.values, state.next, state.metadata, state.parent_config, state.tasks


async def test_a_thread_of_langgraphs_own_saver_goes_on_here(db: outlive.Cluster, database: str) -> None:
    """Its history is the same, the interrupted turn is resumed, and to import it again changes nothing."""
    name, saver = str(uuid4()), OutliveSaver(db)
    theirs = await asyncio.to_thread(_with_theirs, database, name)
    for _ in range(2):
        assert await import_threads(database, saver, [name]) == len(theirs)
        fresh = graph(OutliveSaver(db))
        assert [_shown(each) async for each in fresh.aget_state_history(thread(name))] == theirs
    result = await graph(saver).ainvoke(Command(resume="yes 2"), thread(name))
    assert result["agreed"] == ["yes 0", "yes 1", "yes 2"]
    await graph(saver).ainvoke({"messages": [HumanMessage("turn 3")]}, thread(name))
    again = await graph(OutliveSaver(db)).ainvoke(Command(resume="yes 3"), thread(name))
    assert [message.text for message in again["messages"]] == [
        "turn 0", "yes 0 1", "turn 1", "yes 1 3", "turn 2", "yes 2 5", "turn 3", "yes 3 7",
    ]  # fmt: skip


async def test_a_database_without_such_tables_is_refused(db: outlive.Cluster, superuser_dsn: str) -> None:
    """The error says which tables were looked for."""
    elsewhere = superuser_dsn.rsplit("/", 1)[0] + "/postgres"
    with pytest.raises(outlive.ConfigurationError, match="checkpoints"):
        await import_threads(elsewhere, OutliveSaver(db))


def joined(state: list[str], writes: Sequence[list[str]]) -> list[str]:
    """The reducer of a channel that is built up."""
    return state + [each for write in writes for each in write]


class Built(TypedDict):
    """A channel that is built up from writes, one that is kept whole."""

    log: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=4)]
    plain: Annotated[list[str], operator.add]


def add(state: Built) -> dict[str, Any]:
    """Add to both."""
    said = f"step {len(state['plain'])}"
    return {"log": [said], "plain": [said]}


def built(saver: BaseCheckpointSaver[Any]) -> Any:
    """One node."""
    return StateGraph(Built).add_node("add", add).add_edge(START, "add").compile(checkpointer=saver)


async def test_channels_that_are_built_up_from_writes(db: outlive.Cluster) -> None:
    """From any process, at any turn, and at any point of the history: as LangGraph's own saver has them."""
    config, ours, theirs = thread(), OutliveSaver(db), InMemorySaver()
    for turn in range(11):
        given = {"log": [f"in {turn}"], "plain": [f"in {turn}"]}
        results = [await built(saver).ainvoke(given, config) for saver in (ours, theirs)]
        assert results[0] == results[1]
        assert results[0]["log"] == results[0]["plain"]
    histories = [
        [each.values async for each in built(saver).aget_state_history(config)] for saver in (OutliveSaver(db), theirs)
    ]
    assert histories[0] == histories[1]


async def test_pruning_keeps_what_a_channel_is_built_up_from(db: outlive.Cluster) -> None:
    """After it the state is the same, and the thread goes on."""
    config, saver = thread("built-pruned"), OutliveSaver(db)
    for turn in range(7):
        await built(saver).ainvoke({"log": [f"in {turn}"], "plain": [f"in {turn}"]}, config)
    before = (await built(saver).aget_state(config)).values
    await saver.aprune(["built-pruned"])
    assert (await built(OutliveSaver(db)).aget_state(config)).values == before
    assert len([each async for each in saver.alist(config)]) < 14
    after = await built(saver).ainvoke({"log": ["more"], "plain": ["more"]}, config)
    assert after["log"] == after["plain"] == [*before["plain"], "more", "step 15"]


async def test_a_run_that_others_are_built_up_from_is_not_deleted(db: outlive.Cluster) -> None:
    """A typed error, and nothing is deleted; all runs together can be."""
    saver, name = OutliveSaver(db), "built-runs"
    for turn in range(3):
        config = {**thread(name), "metadata": {"run_id": f"built-{turn}"}}
        await built(saver).ainvoke({"log": [f"in {turn}"], "plain": [f"in {turn}"]}, config)
    before = (await built(saver).aget_state(thread(name))).values
    with pytest.raises(outlive.StateError, match="built up"):
        await saver.adelete_for_runs(["built-1"])
    assert (await built(saver).aget_state(thread(name))).values == before
    await saver.adelete_for_runs([f"built-{turn}" for turn in range(3)])
    assert await saver.aget_tuple(thread(name)) is None

"""LangGraph's checkpoints on a real cluster, held against LangGraph's own conformance suite."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages

import outlive
import outlive.sync
from outlive.adapters.langgraph import OutliveSaver
from outlive.stores import AgentState


class State(TypedDict):
    """A conversation, a log of small things, and a dictionary."""

    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[str], operator.add]
    facts: dict[str, Any]


def answer(state: State) -> dict[str, Any]:
    """A model that repeats."""
    said = state["messages"][-1].text
    return {
        "messages": [AIMessage(f"{said}! {'x' * 200}")],
        "log": [said],
        "facts": {"last": said, "long": "y" * 500, "all": [*state.get("facts", {}).get("all", []), said[:8] * 9]},
    }


def graph(saver: BaseCheckpointSaver[Any]) -> Any:
    """One node."""
    return StateGraph(State).add_node("model", answer).add_edge(START, "model").compile(checkpointer=saver)


def thread(name: str | None = None) -> RunnableConfig:
    """A thread's config."""
    return {"configurable": {"thread_id": name or str(uuid4())}}


def plain(state: Any) -> Any:
    """State without the ids that each run makes anew."""
    return [[message.text for message in state["messages"]], state.get("log"), state.get("facts")]


async def test_the_whole_conformance_suite(db: outlive.Cluster) -> None:
    """LangGraph's own suite, unmodified: every capability that it knows, base and extended."""

    @checkpointer_test(name="OutliveSaver")
    async def registered() -> AsyncIterator[OutliveSaver]:
        yield OutliveSaver(db)

    report = await validate(registered)
    assert {name: result.failures for name, result in report.results.items() if not result.passed} == {}
    assert len(report.results) == 8


async def test_a_graph_is_kept_as_by_the_savers_of_langgraph(db: outlive.Cluster) -> None:
    """Turn by turn, from this process and from one that remembers nothing, state and history are the same."""
    ours, theirs, config = OutliveSaver(db), InMemorySaver(), thread()
    for turn in range(40):
        said = {"messages": [HumanMessage(f"turn {turn}")]}
        saver = ours if turn % 3 else OutliveSaver(db)
        results = [plain(await graph(each).ainvoke(said, config)) for each in (saver, theirs)]
        assert results[0] == results[1]
    histories = [
        [(plain(each.values), each.next, each.metadata) async for each in graph(saver).aget_state_history(config)]
        for saver in (OutliveSaver(db), theirs)
    ]
    assert histories[0] == histories[1]


async def test_what_two_checkpoints_share_is_stored_once(db: outlive.Cluster) -> None:
    """A thousand bytes a message, a hundred messages: what is stored is not a tenth of storing each version whole."""
    saver, config = OutliveSaver(db), thread()
    running = graph(saver)
    for turn in range(50):
        await running.ainvoke({"messages": [HumanMessage(f"{turn}" + "z" * 1000)]}, config)
    stored = await db.fetchval(
        """select sum(length(o.content)) from outlive.objects o join outlive.object_scopes s on s.key = o.scope
        where s.id = $1""",
        config["configurable"]["thread_id"],
    )
    assert stored < 300 * 1024


async def test_a_message_that_was_changed_in_place_is_kept_as_it_is(db: outlive.Cluster) -> None:
    """However deep the change, whether the saver wrote the message or read it; and what it gave out shares nothing."""
    saver, config = OutliveSaver(db), thread()

    def change(state: State) -> dict[str, Any]:
        first, second = state["messages"][0], state["messages"][1]
        first.content = f"{first.content} and more"
        second.additional_kwargs.setdefault("deep", {"n": [1]})["n"].append(2)
        return {"messages": [AIMessage("changed", id=str(uuid4()))]}

    running: Any = StateGraph(State).add_node("model", change).add_edge(START, "model").compile(checkpointer=saver)
    said = [HumanMessage(f"{n}", id=f"{n}") for n in range(4)]
    await running.ainvoke({"messages": said}, config)
    handed_out = (await running.aget_state(config)).values["messages"]
    handed_out[0].content = "nobody's business"
    await running.ainvoke({"messages": []}, config)
    kept = (await graph(OutliveSaver(db)).aget_state(config)).values["messages"]
    assert kept[0].content == "0 and more and more"
    assert kept[1].additional_kwargs == {"deep": {"n": [1, 2, 2]}}


async def test_a_list_that_is_cut_at_its_beginning(db: outlive.Cluster) -> None:
    """A window over the last elements that moves, as a trimmed conversation does, is kept right."""
    saver, config = OutliveSaver(db), thread()
    parent, version = config, 0
    for start in range(0, 60, 3):
        parent["configurable"].setdefault("checkpoint_ns", "")
        window = [HumanMessage(f"{n}" * 100, id=f"{n}") for n in range(start, start + 50)]
        checkpoint, version = empty_checkpoint(), version + 1
        checkpoint["channel_values"], checkpoint["channel_versions"] = {"messages": window}, {"messages": version}
        parent = await saver.aput(parent, checkpoint, {"source": "loop", "step": start}, {"messages": version})
        for reader in (saver, OutliveSaver(db)):
            found = await reader.aget_tuple(config)
            assert found is not None
            assert found.checkpoint["channel_values"]["messages"] == window


async def test_a_writer_whose_objects_were_deleted_brings_them_again(db: outlive.Cluster) -> None:
    """A thread that another process deletes begins anew, whole, from what this one has in its hands."""
    saver, config = OutliveSaver(db), thread("deleted-elsewhere")
    value = [HumanMessage("m" * 200, id=f"{n}") for n in range(20)]
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"], checkpoint["channel_versions"] = {"messages": value, "x": {"a": "b" * 200}}, {}
    config["configurable"]["checkpoint_ns"] = ""
    await saver.aput(config, checkpoint, {}, {"messages": 1, "x": 1})
    await OutliveSaver(db).adelete_thread("deleted-elsewhere")
    value.append(HumanMessage("new"))
    stored = await saver.aput(config, checkpoint, {}, {"messages": 2})
    await saver.aput_writes(stored, [("messages", value)], "task")
    found = await OutliveSaver(db).aget_tuple(config)
    assert found is not None
    assert found.checkpoint["channel_values"] == checkpoint["channel_values"]
    assert found.pending_writes == [("task", "messages", value)]


@pytest.mark.parametrize("strategy", ["keep_latest", "runs"])
async def test_deleting_leaves_what_others_need(db: outlive.Cluster, strategy: str) -> None:
    """What stays can be read whole, and no object that nothing reaches stays."""
    saver, name = OutliveSaver(db), f"swept-{strategy}"
    for turn in range(6):
        config = {**thread(name), "metadata": {"run_id": f"{strategy}-{turn}"}}
        await graph(saver).ainvoke({"messages": [HumanMessage(f"turn {turn}")]}, config)
    before = plain((await graph(saver).aget_state(thread(name))).values)
    if strategy == "runs":
        await saver.adelete_for_runs([f"runs-{turn}" for turn in range(5)])
    else:
        await saver.aprune([name])
    assert plain((await graph(OutliveSaver(db)).aget_state(thread(name))).values) == before
    await saver.adelete_thread(name)
    assert await db.fetchval("select count(*) from outlive.object_scopes where id = $1", name) == 0


async def test_encrypted_values(db: outlive.Cluster) -> None:
    """A serializer that never gives the same bytes twice still shares what hasn't changed."""
    key = b"0123456789abcdef"
    calls: list[int] = []

    class Cipher:
        def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
            calls.append(1)
            return "xor", bytes([len(calls) % 250]) + bytes(b ^ key[n % 16] for n, b in enumerate(plaintext))

        def decrypt(self, _name: str, ciphertext: bytes) -> bytes:
            return bytes(b ^ key[n % 16] for n, b in enumerate(ciphertext[1:]))

    saver, config = OutliveSaver(db, serde=EncryptedSerializer(Cipher(), JsonPlusSerializer())), thread()
    per_turn = []
    for turn in range(20):
        before = len(calls)
        await graph(saver).ainvoke({"messages": [HumanMessage(f"turn {turn}", id=f"{turn}")]}, config)
        per_turn.append(len(calls) - before)
    assert per_turn[19] <= per_turn[5] + 2
    assert len((await graph(saver).aget_state(config)).values["messages"]) == 40


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda checkpoint: checkpoint["channel_values"].update(a=object()), id="no-form"),
        pytest.param(lambda checkpoint: checkpoint["channel_values"].update(a="x" * 2000), id="too-large"),
        pytest.param(lambda checkpoint: checkpoint["channel_values"].update({"a\0": "x"}), id="nul-in-name"),
    ],
)
async def test_what_cannot_be_kept_is_refused_whole(db: outlive.Cluster, broken: Callable[[Any], None]) -> None:
    """A typed error, and nothing of the checkpoint is kept."""
    saver, config = OutliveSaver(db, max_value_bytes=1000), thread()
    config["configurable"]["checkpoint_ns"] = ""
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"b": "y" * 200}
    broken(checkpoint)
    with pytest.raises(outlive.UnstorableError):
        await saver.aput(config, checkpoint, {}, {})
    assert await saver.aget_tuple(config) is None


async def test_programs_without_asyncio(database: str) -> None:
    """The synchronous face does the same, on its own client and from threads beside a running loop."""
    config = thread()

    def run(saver: OutliveSaver) -> list[str]:
        running = graph(saver)
        running.invoke({"messages": [HumanMessage("hi")]}, config)
        assert len(list(running.get_state_history(config, limit=2))) == 2
        return [message.text[:3] for message in running.get_state(config).values["messages"]]

    def alone() -> list[str]:
        with outlive.sync.connect(database) as client:
            return run(OutliveSaver(client))

    assert await asyncio.to_thread(alone) == ["hi", "hi!"]
    async with outlive.connect(database) as client:
        saver = OutliveSaver(client)
        assert await asyncio.to_thread(run, saver) == ["hi", "hi!"] * 2
        with pytest.raises(outlive.ConfigurationError):
            saver.get_tuple(config)


async def test_a_client_without_asyncio_serves_asynchronous_calls(database: str) -> None:
    """A program may have both: the calls go to the client's own loop."""
    config = thread()
    with outlive.sync.connect(database) as client:
        saver = OutliveSaver(client)
        await graph(saver).ainvoke({"messages": [HumanMessage("hi")]}, config)
        assert len([each async for each in saver.alist(config)]) == 3


async def test_agents_state_and_threads_are_apart(state: AgentState, db: outlive.Cluster) -> None:
    """One name for both is no clash, and erasing one leaves the other."""
    await OutliveSaver(db).adelete_thread("nobody")
    assert state.graphs.max_value_bytes == 8 * 1024 * 1024

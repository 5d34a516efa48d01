"""Something of every store, for tests of who may use them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint

import outlive
from outlive.adapters.langgraph import OutliveSaver
from outlive.stores import AgentState, NewTask, NewTurn, TaskStatus
from outlive.stores.app_sessions import SessionName, States
from outlive.stores.histories import Entry, History
from outlive.stores.items import Put


async def use_everything(db: outlive.Cluster, mark: str = "mine") -> None:
    """Write to each store under ids that are the same in each call, and find `mark` again."""
    state = AgentState(db)
    await _converse(state, mark)
    await _keep_for_frameworks(db, state, mark)
    far = datetime.now(UTC) + timedelta(days=6)
    kind = f"kind of {mark}"
    await state.events.append([state.events.new(kind), state.events.new(kind, at=far)])
    assert (await state.events.count())[kind] == 2
    await state.audit.record("used", actor="w", details=mark)
    assert [entry.details for entry in await state.audit.last(limit=1)] == [mark]
    assert (await state.audit.verify()).defects == ()
    await state.context.add("source", ["the same", f"of {mark}"])
    assert {document.content for document in await state.context.get("source")} == {"the same", f"of {mark}"}
    assert len(await state.context.search_text("same")) == 1
    task = await state.tasks.enqueue("queue", {"of": mark}, key="the same")
    assert task.payload == {"of": mark}
    await state.checkpoints.save("agent", {"of": mark}, 0)
    saved = await state.checkpoints.load("agent")
    assert saved is not None
    assert saved.state == {"of": mark}
    held, effect = await state.tasks.claim("queue", worker="w", limit=10)
    assert (held.payload, effect.payload) == ({"of": mark}, {"effect of": mark})
    await held.save_progress(mark)
    await held.finish(mark)
    await effect.fail(mark)
    assert await state.tasks.cancel(effect.task.id) is TaskStatus.CANCELLED
    assert await state.tasks.next_due_s("queue") is None
    await state.preferences.set("subject", "seat", "another")
    await state.preferences.set("subject", "seat", mark, expected_version=1)
    assert await state.preferences.get("subject", "seat") == mark
    answer = await state.llm_cache.get_or_compute("model", "prompt", {}, lambda: mark)
    assert answer.value == mark
    assert await db.run(_one, key=outlive.new_key()) == 1


async def _converse(state: AgentState, mark: str) -> None:
    await state.conversations.create(["trip-7"])
    async with await state.conversations.open("trip-7", worker="w") as conversation:
        await conversation.append("t1", "user", mark, effects=[NewTask("queue", {"effect of": mark}, priority=-1)])
        await conversation.checkpoint({"of": mark})
        assert await conversation.tool_call("call", _echo, mark) == mark
    await state.conversations.fork("trip-7", "trip-8")
    assert [turn.content for turn in (await state.conversations.load("trip-8")).turns] == [mark]
    await state.conversations.erase("trip-8")
    found = await state.conversations.load("trip-7")
    assert [turn.content for turn in found.turns] == [mark]
    await state.shared.append("shared", [NewTurn("t1", "user", mark)])
    assert [found.id for found in (await state.conversations.list()).conversations] == ["shared", "trip-7"]


async def _keep_for_frameworks(db: outlive.Cluster, state: AgentState, mark: str) -> None:
    now = datetime.now(UTC)
    name = SessionName("app", "user", "1")
    await state.app_sessions.create(name, States({"of": mark}, {"of": mark}, {"of": mark}), now)
    session = await state.app_sessions.load(name)
    assert session is not None
    assert session.states == States({"of": mark}, {"of": mark}, {"of": mark})
    await state.items.put([Put(("ns",), "same", {"of": mark})])
    assert [item.value for item in (await state.items.get([(("ns",), "same")])).values()] == [{"of": mark}]
    assert await state.items.namespaces([], None, 0, 10) == [("ns",)]
    await state.histories.write(History("h", "r1", "e1", mark, now, None), [Entry("e1", None, mark)], expected=None)
    assert [entry.content for entry in await state.histories.path("e1")] == [mark]
    saver = OutliveSaver(db)
    config: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"], checkpoint["channel_versions"] = {"x": mark}, {"x": 1}
    await saver.aput(config, checkpoint, {}, {"x": 1})
    kept = await saver.aget_tuple(config)
    assert kept is not None
    assert kept.checkpoint["channel_values"] == {"x": mark}


async def _echo(mark: str) -> str:
    return mark


async def _one(tx: outlive.Transaction) -> int:
    await tx.fetchval("select $1::text", str(uuid4()))
    return 1

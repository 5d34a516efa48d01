"""The stores without asyncio under mypy: this file is type-checked, never run."""

from collections.abc import Generator, Mapping
from contextlib import closing
from decimal import Decimal
from typing import Any, assert_type

import outlive.sync
from outlive.stores import (
    Answer,
    AuditEntry,
    BufferCounts,
    Checkpoint,
    Conversation,
    Cost,
    Event,
    Page,
    Preference,
    Task,
    TaskStatus,
    ToolCall,
    Turn,
)
from outlive.stores.agent_states import AgentVersion
from outlive.stores.sync import SyncAgentState, SyncClaimedTask, SyncConversation, SyncWorker
from outlive.sync import SyncTransaction


def _search(city: str) -> dict[str, str]:
    return {"city": city}


def _insert(tx: SyncTransaction) -> int:
    tx.execute("insert into numbers values (1)")
    return 1


def conversations(state: SyncAgentState) -> None:
    """A conversation, with the types of what its calls give."""
    with state.conversations.open("c", worker="w", lease_s=5, metadata={"subject": "ada"}) as conversation:
        assert_type(conversation, SyncConversation)
        assert_type(conversation.id, str)
        assert_type(conversation.turns, tuple[Turn, ...])
        assert_type(conversation.tool_calls, Mapping[str, ToolCall])
        assert_type(conversation.last_checkpoint, Checkpoint | None)
        assert_type(conversation.append("t", "user", "hello", dollars=Decimal(1)), Turn)
        assert_type(conversation.tool_call("k", _search, "BER", cost=lambda found: Cost(len(found))), Any)
        with conversation.keep_alive() as same:
            assert_type(same, SyncConversation)
        assert_type(conversation.asynchronous, Conversation)
    assert_type(state.conversations.claim(["c"], worker="w"), SyncConversation | None)
    assert_type(state.conversations.list(status="open"), Page)
    with closing(state.conversations.export("c", format="openai")) as lines:
        assert_type(lines, Generator[str, None, None])


def others(state: SyncAgentState, tx: SyncTransaction) -> None:
    """The other stores."""
    assert_type(state.load_agent_state("a"), AgentVersion | None)
    assert_type(state.save_agent_state("a", {}, 0), int)
    assert_type(state.preferences.get("ada", "seat", type=str), str | None)
    assert_type(state.preferences.get("ada", "seat", type=str, default=0), str | int)
    assert_type(state.preferences.get("ada", "seat"), Any)
    assert_type(state.preferences.all("ada"), dict[str, Preference])
    assert_type(state.llm_cache.get_or_compute("m", "p", {}, lambda: "answer"), Answer)
    assert_type(state.db.run(_insert, key="k"), int)
    with state.events.buffer() as events:
        assert_type(events.record("seen", {"by": "ada"}), bool)
        assert_type(events.counts, BufferCounts)
    assert_type(state.events.read(kind="seen"), tuple[Event, ...])
    assert_type(state.audit.record("booked", actor="agent", tx=tx), AuditEntry)
    assert_type(state.tasks.enqueue_in(tx, []), tuple[Task, ...])
    assert_type(state.tasks.claim("q", worker="w"), tuple[SyncClaimedTask, ...])
    assert_type(state.tasks.worker("q", concurrency=2), SyncWorker)
    for task in state.tasks.listed("q", TaskStatus.DEAD):
        assert_type(task, Task)


def mistakes(state: SyncAgentState) -> None:
    """What mypy has to refuse."""
    state.conversations.open("c")  # type: ignore[call-arg]
    state.conversations.open("c", worker=1)  # type: ignore[arg-type]
    state.conversations.list(status="opne")  # type: ignore[arg-type]
    state.llm_cache.get_or_compute("m", "p", {})  # type: ignore[call-arg]
    state.tasks.worker("q").name = "x"  # type: ignore[assignment]


def client_mistakes(db: outlive.sync.SyncCluster) -> None:
    """Nor of the client below."""
    outlive.sync.connect(degraded="maybe")  # type: ignore[arg-type]
    db.transaction(isolation="snapshot")  # type: ignore[arg-type]
    db.run(_insert, durability="critcal")  # type: ignore[arg-type]


def found() -> int:
    """A `with` block of a conversation hides no error, so that nothing is missing after it."""
    with outlive.sync.connect() as db, SyncAgentState(db).conversations.open("c", worker="w") as conversation:
        return len(conversation.turns)

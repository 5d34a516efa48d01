"""A call on a database without the schema, or with that of another release, says which one is there and what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta

import pytest
from langchain_core.runnables import RunnableConfig

import outlive
from outlive.adapters.langgraph import OutliveSaver
from outlive.errors import SchemaError
from outlive.stores import AgentState, NewTask, NewTurn, migrate
from outlive.stores.items import Put
from outlive.stores.queries import known_migrations

KNOWN = len(known_migrations())
GRAPH: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
Call = Callable[[], Awaitable[object]]


@pytest.fixture
async def db(owner_dsn: str) -> AsyncIterator[outlive.Cluster]:
    """A client of the module's database, which has no schema `outlive`."""
    async with outlive.connect(owner_dsn, degraded="allow") as client:
        await client.execute("DROP SCHEMA IF EXISTS outlive CASCADE", idempotent=True)
        yield client


def calls(db: outlive.Cluster) -> Iterator[tuple[str, Call]]:
    """Calls of each store, each with its name."""
    state = AgentState(db)
    yield "open", lambda: state.conversations.open("trip-7", worker="w")
    yield "load", lambda: state.conversations.load("trip-7")
    yield "list", lambda: state.conversations.list()
    yield "retention", lambda: state.conversations.retention(timedelta(days=1))
    yield "shared", lambda: state.shared.append("trip-7", [NewTurn("t1", "user", "hi")])
    yield "events", lambda: state.events.append([state.events.new("kind")])
    yield "audit", lambda: state.audit.record("used", actor="w")
    yield "context", lambda: state.context.add("source", ["content"])
    yield "search", lambda: state.context.search([1.0])
    yield "enqueue", lambda: state.tasks.enqueue("queue", 1)
    yield "claim", lambda: state.tasks.claim("queue", worker="w", limit=1)
    yield "agent state", lambda: state.checkpoints.save("agent", {}, 0)
    yield "preference", lambda: state.preferences.get("subject", "seat")
    yield "cache", lambda: state.llm_cache.get_or_compute("model", "prompt", {}, lambda: 1)
    yield "items", lambda: state.items.put([Put(("ns",), "key", {})])
    yield "nearest", lambda: state.items.nearest(("ns",), {}, 0, 1, [1.0])
    yield "graph", lambda: OutliveSaver(db).aget_tuple(GRAPH)


async def refusals(db: outlive.Cluster) -> dict[str, SchemaError]:
    """What each call is refused with."""
    found = {}
    for name, call in calls(db):
        with pytest.raises(SchemaError) as caught:
            await call()
        found[name] = caught.value
    return found


async def drop_functions(db: outlive.Cluster) -> None:
    """Let nothing of the schema be there but the record of its migrations."""
    await db.execute("ALTER TABLE outlive.migrations SET SCHEMA public")
    await db.execute("DROP SCHEMA outlive CASCADE")
    await db.execute("CREATE SCHEMA outlive")
    await db.execute("ALTER TABLE public.migrations SET SCHEMA outlive")


async def test_without_the_schema_it_is_to_be_made(db: outlive.Cluster) -> None:
    """Every store says so, even where it would have room for embeddings made."""
    for name, error in (await refusals(db)).items():
        assert "there is no schema `outlive`" in str(error), name
        assert error.hint == "Run `outlive migrate`.", name
        assert error.outcome is outlive.Outcome.NOT_APPLIED


async def test_an_older_schema_is_to_be_migrated(db: outlive.Cluster) -> None:
    """Both versions are named, and so is what was missed."""
    await migrate(db)
    await drop_functions(db)
    await db.execute("DELETE FROM outlive.migrations WHERE version = $1", KNOWN)
    for name, error in (await refusals(db)).items():
        assert f"is at version {KNOWN - 1}, this code needs {KNOWN}" in str(error), name
        assert "does not exist" in str(error), name
        assert error.hint == "Run `outlive migrate`.", name


async def test_a_newer_schema_needs_newer_code(db: outlive.Cluster) -> None:
    """Migrating would be of no use."""
    await migrate(db)
    await drop_functions(db)
    await db.execute("INSERT INTO outlive.migrations VALUES ($1, 'future', 'x')", KNOWN + 1)
    for name, error in (await refusals(db)).items():
        assert f"is at version {KNOWN + 1}, this code knows {KNOWN}" in str(error), name
        assert "Upgrade outlive" in error.hint, name


async def test_a_schema_from_before_the_first_release_is_left_behind(db: outlive.Cluster) -> None:
    """It has more migrations than this code, under other names: neither migrating nor upgrading is the way out."""
    await migrate(db)
    await drop_functions(db)
    await db.execute("UPDATE outlive.migrations SET name = 'conversations', checksum = 'x' WHERE version = 1")
    await db.execute("INSERT INTO outlive.migrations VALUES ($1, 'later', 'x')", KNOWN + 1)
    for name, error in (await refusals(db)).items():
        assert "before the first release: it has the migration 0001_conversations" in str(error), name
        assert "outlive state export --all" in error.hint, name


async def test_in_a_transaction_of_the_callers_the_hint_covers_both(db: outlive.Cluster) -> None:
    """There the version can't be asked: the transaction is over."""
    state = AgentState(db)

    async def enqueue(tx: outlive.Transaction) -> None:
        await state.tasks.enqueue_in(tx, [NewTask("queue", 1)])

    with pytest.raises(SchemaError, match="not as this code needs it") as caught:
        await db.run(enqueue)
    assert "Run `outlive migrate`" in caught.value.hint


async def test_what_is_missing_at_the_same_version_is_named(db: outlive.Cluster) -> None:
    """Somebody dropped it by hand, or it is made by a call of its own."""
    await migrate(db)
    with pytest.raises(SchemaError, match="no embeddings are kept"):
        await AgentState(db).context.search([1.0])
    await db.execute("DROP TABLE outlive.preferences CASCADE")
    with pytest.raises(SchemaError, match=r"not as this code needs it.*preferences"):
        await AgentState(db).preferences.get("subject", "seat")

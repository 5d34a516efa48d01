"""One call removes what is old from every store; again, it finds nothing."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from typer.testing import CliRunner

import outlive
from outlive.cli.app import app
from outlive.errors import ConfigurationError
from outlive.stores import AgentState, Keep
from outlive.stores.items import Put

DAY = timedelta(days=1)
ALL = Keep(conversations=90 * DAY, tasks=30 * DAY, context=30 * DAY, events=5 * DAY, audit=400 * DAY)


@pytest.fixture
async def aged(state: AgentState, superuser: asyncpg.Connection) -> None:
    """Two of everything, one of them old."""
    for age in ("new", "old"):
        await state.conversations.create([age])
        await state.tasks.enqueue("q", age, key=age)
        (claimed,) = await state.tasks.claim("q", worker="w")
        await claimed.finish()
        await state.context.add(age, [age])
        await state.audit.record(age, actor="w", stream=age)
        await state.llm_cache.get_or_compute("m", age, {}, lambda: 1)
        await state.items.put([Put((age,), "k", {}, 1.0)])
        await state.db.run(_nothing, key=age)
    await state.events.append([state.events.new("new"), state.events.new("old", at=datetime.now(UTC) - 6 * DAY)])
    for sql in (
        "update outlive.conversations set updated_at = now() - interval '91 days' where id = 'old'",
        "update outlive.tasks set ended_at = now() - interval '31 days' where key = 'old'",
        "update outlive.context_documents set retrieved_at = now() - interval '31 days' where source = 'old'",
        "update outlive.audit set at = now() - interval '401 days' where stream = 'old'",
        "update outlive.audit as a set hash = outlive.audit_hash(a) where stream = 'old'",
        "update outlive.audit_heads as h set hash = a.hash from outlive.audit as a where a.stream = h.stream",
        "update outlive.llm_cache set expires_at = now() where key = (select min(key) from outlive.llm_cache)",
        "update outlive.items set expires_at = now() where ns = '{old}'",
        "update outlive.text_keys set made_at = now() - interval '25 hours' where key = 'old'",
    ):
        await superuser.execute(sql)


async def _nothing(tx: outlive.Transaction) -> None:
    await tx.execute("select 1")


@pytest.mark.usefixtures("aged")
async def test_what_is_old_goes_from_every_store_once(state: AgentState) -> None:
    """A dry run says what will go; a call does it; another one finds nothing. What is new stays."""
    would = await state.maintain(ALL, dry_run=True)
    assert dict(would.removed) == dict.fromkeys(
        ("llm_cache", "items", "tasks", "context", "events", "keys", "conversations", "audit"), 1
    )
    done = await state.maintain(ALL)
    assert (dict(done.removed), dict(done.failed)) == (dict(would.removed), {})
    again = await state.maintain(ALL)
    assert set(again.removed.values()) == {0}
    assert (await state.audit.verify()).defects == ()
    assert (await state.conversations.load("new")).turns == ()
    assert [document.content for document in await state.context.get("new")] == ["new"]
    assert await state.tasks.find("q", "new") is not None


async def test_by_default_no_conversation_and_no_entry_of_the_log_goes(state: AgentState) -> None:
    """These are kept for ever, until somebody says for how long."""
    assert (await state.maintain()).removed.keys() == {"keys", "llm_cache", "items", "events", "tasks"}


async def test_a_step_that_fails_is_told_and_the_others_are_done(
    state: AgentState, superuser: asyncpg.Connection
) -> None:
    """An entry of the log that was altered stays; nothing else waits for it. Without time, nothing is done."""
    await state.audit.record("x", actor="w", stream="altered")
    await superuser.execute("update outlive.audit set action = 'y' where stream = 'altered'")
    await state.tasks.enqueue("q", "other")
    done = await state.maintain(Keep(audit=timedelta(microseconds=1)))
    assert done.failed.keys() == {"audit"}
    assert "altered" in done.failed["audit"]
    assert done.removed.keys() == {"keys", "llm_cache", "items", "events", "tasks"}
    late = await state.maintain(at_most_s=1e-9)
    assert late.failed.keys() | late.removed.keys() == done.removed.keys()
    assert late.failed
    await superuser.execute("truncate outlive.audit, outlive.audit_heads")


def test_ages_that_make_no_sense_are_refused() -> None:
    """Nothing, less than nothing, and keys for less than the time in which a retry may come."""
    for wrong in ({"tasks": timedelta(0)}, {"events": -DAY}, {"keys": timedelta(minutes=59)}):
        with pytest.raises(ConfigurationError):
            Keep(**wrong)


async def test_the_command_counts_first(database: str) -> None:
    """`--dry-run --json` prints a count a store."""
    arguments = ["state", "maintain", "--dry-run", "--json", "--keep-audit", "1d", "--dsn", database]
    shown = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert json.loads(shown.stdout)["dry_run"] is True, shown.output
    assert "audit" in json.loads(shown.stdout)["removed"]

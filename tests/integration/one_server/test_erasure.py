"""After a person was erased nothing of theirs stands in any table, and the audit log is whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint

import outlive
from integration.client.servers import Servers
from outlive.adapters.langgraph import OutliveSaver
from outlive.stores import AgentState, Cost, Flaw, NewDocument, NewTask, NewTurn, migrate, roles
from outlive.stores.app_sessions import SessionName, States
from outlive.stores.histories import Entry, History
from outlive.stores.items import Put

PERSON, OTHER = "c-1", "c-2"

NOT_PERSONAL = {
    "migrations": "what the schema is",
    "tenant_exemptions": "what the schema is",
    "key_horizon": "a day",
    "keys": "what functions of the caller's returned, for a day",
    "text_keys": "what functions of the caller's returned, for a day",
    "erasures": "digests of names that may not be used again",
    "erasure_reports": "numbers of rows",
    "audit_heads": "positions and hashes",
    "context_embeddings": "numbers",
    "item_embeddings": "numbers",
    "forks": "keys of conversations",
    "object_scopes": "names of threads and agents",
}
"""Tables in which no text of a person's may ever stand, and what does."""


@pytest.fixture(scope="module", autouse=True)
async def with_vectors(database: str, server: Servers) -> None:
    """Embeddings are kept, of documents and of items."""
    name = database.rpartition("/")[2].partition("?")[0]
    superuser = await asyncpg.connect(server.dsn(names=("n1",), database=name))
    await superuser.execute("create extension vector schema public")
    await superuser.close()
    async with outlive.connect(database, degraded="allow") as db:
        await AgentState(db).context.enable_vectors(3)
        await AgentState(db).items.enable_vectors(3)


async def keep_something_everywhere(db: outlive.Cluster, person: str, mark: str) -> None:
    """Have each store and each framework's tables keep the mark for a person, in the ways that the docs name."""
    state, now = AgentState(db), datetime.now(UTC)
    trip = f"trip of {person}"
    conversation = await state.conversations.open(trip, worker="w", metadata={"subject": person, "note": mark})
    await conversation.append("t1", "user", mark, effects=[NewTask("effects", mark)])
    await conversation.append("t2", "user", mark)
    await conversation.checkpoint({"of": mark})
    await conversation.tool_call("call", lambda said: said, mark, cost=Cost(1))
    await state.conversations.fork(trip, f"{trip}, again")
    await conversation.release()
    await state.shared.append(trip, [NewTurn("t3", "user", mark)])
    await state.shared.take_last(trip)
    await state.events.append([
        state.events.new("said", mark, subject=person, at=moment)
        for moment in (now, now - timedelta(days=30), now + timedelta(days=2))
    ])  # fmt: skip
    await state.audit.record("said", actor="desk", subject=person, details=mark)
    await state.audit.record("asked", actor=person, details=mark)
    await state.context.add(person, [NewDocument(mark, embedding=[1, 0, 0])])
    await state.context.add("web", [NewDocument(f"more of {mark}", {"subject": person, "note": mark})])
    await state.tasks.enqueue("mails", {"subject": person, "text": mark})
    (claimed,) = await state.tasks.claim("mails", worker="w")
    await claimed.save_progress(mark)
    await claimed.finish(mark)
    await state.preferences.set(person, "seat", mark)
    await state.preferences.set(person, "seat", [mark])
    await state.llm_cache.get_or_compute("model", mark, {}, lambda: mark, subject=person)
    await state.checkpoints.save(person, {mark: mark}, 0)
    name = SessionName("app", person, "1")
    await state.app_sessions.create(name, States(session={"of": mark}, user={"of": mark}), now)
    await state.app_sessions.append(name, "e", now, mark, States(), expected=None)
    history = History(f"h of {person}", "r1", f"e of {person}", mark, now, person)
    await state.histories.write(history, [Entry(f"e of {person}", None, mark)], expected=None)
    await state.items.put([Put(("users", person), "seat", {"of": mark}, None, [[1, 0, 0]])], embedded=True)
    await keep_threads(db, person, mark)


async def keep_threads(db: outlive.Cluster, person: str, mark: str) -> None:
    """Threads of a graph: one under the person's name, one whose metadata has it."""
    saver = OutliveSaver(db)
    for thread, metadata in ((person, {}), (f"thread of {person}", {"user_id": person})):
        config: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"], checkpoint["channel_versions"] = {"said": mark * 300}, {"said": 1}
        after = await saver.aput(config, checkpoint, {"source": "input", "note": mark, **metadata}, {"said": 1})  # type: ignore[typeddict-item]
        await saver.aput_writes(after, [(f"said {mark}", mark)], "task")


async def tables_with(superuser: asyncpg.Connection, text: str) -> set[str]:
    """The tables of the schema, by their partitioned ones, in which a text stands in whatever column: as text, as the
    bytes of it, or within JSON."""
    rows = await superuser.fetch("""
        select c.relname as name, coalesce(root.relname, c.relname) as root from pg_class as c
        left join pg_class as root on root.oid = pg_partition_root(c.oid) and c.relispartition
        where c.relnamespace = 'outlive'::regnamespace and c.relkind in ('r', 'm')""")
    assert len(rows) > 30
    found = set()
    for row in rows:
        sql = f'select exists (select from outlive."{row["name"]}" as t where position($1 in t::text) > 0 or position($2 in t::text) > 0)'  # noqa: E501
        if await superuser.fetchval(sql, text, text.encode().hex()):
            found.add(row["root"])
    return found


async def test_nothing_of_an_erased_person_is_left_in_any_table(
    db: outlive.Cluster, state: AgentState, superuser: asyncpg.Connection
) -> None:
    """Every table that may hold a person's text does before, and none after; another person's stays as it was.

    A table of a later migration is in neither list: it has to be planted here, or named as one that holds no text.
    """
    mark, others = f"mark-{uuid4().hex}", f"mark-{uuid4().hex}"
    await keep_something_everywhere(db, PERSON, mark)
    await keep_something_everywhere(db, OTHER, others)
    tables = {
        row["name"]
        for row in await superuser.fetch("""
            select relname as name from pg_class
            where relnamespace = 'outlive'::regnamespace and relkind in ('r', 'p', 'm') and not relispartition""")
    }
    before = await tables_with(superuser, others)
    assert before == await tables_with(superuser, mark)
    assert before | NOT_PERSONAL.keys() == tables
    assert not before & NOT_PERSONAL.keys()

    report = await state.conversations.erase(subject=PERSON)

    assert await tables_with(superuser, mark) == set()
    assert await tables_with(superuser, others) == before
    assert report.remaining == {}
    assert before - {"turns"} <= report.rows.keys() | {"events"}
    assert await tables_with(superuser, f'"{PERSON}"') == set()
    verified = await state.audit.verify()
    assert (verified.defects, verified.erased) == ((), 2)
    assert [(e.actor, e.action, e.subject, e.details) for e in (await state.audit.last())[1:]] == [
        (OTHER, "asked", "", others), ("desk", "said", OTHER, others),
        ("erased", "asked", "", None), ("desk", "said", "", None),
    ]  # fmt: skip
    assert (await state.audit.last(action="audit.erased"))[0].details == {"entries": 2}
    assert (await state.conversations.erase(subject=PERSON)).rows == {}


async def test_a_table_that_is_forgotten_is_found(superuser: asyncpg.Connection) -> None:
    """The search above sees text, bytes and JSON in a table that nobody told it of."""
    mark = f"mark-{uuid4().hex}"
    transaction = superuser.transaction()
    await transaction.start()
    await superuser.execute(
        "create table outlive.forgotten_text (x text); create table outlive.forgotten_bytes (x bytea)"
    )
    await superuser.execute("create table outlive.forgotten_json (x jsonb)")
    await superuser.execute("insert into outlive.forgotten_text values ($1)", f"a {mark}")
    await superuser.execute("insert into outlive.forgotten_bytes values ($1)", f"a {mark}".encode())
    await superuser.execute("insert into outlive.forgotten_json values ($1)", json.dumps({"a": mark}))
    assert await tables_with(superuser, mark) == {"forgotten_text", "forgotten_bytes", "forgotten_json"}
    await transaction.rollback()


async def test_an_erasure_without_a_subject_takes_nobody_elses(state: AgentState) -> None:
    """Metadata that says null for the subject is nobody's: erasing one conversation leaves such another one."""
    await state.conversations.create(["nobody's"], metadata={"subject": None})
    await state.conversations.create(["named"])
    assert dict((await state.conversations.erase("named")).rows) == {"conversations": 1}
    assert (await state.conversations.load("nobody's")).turns == ()


@pytest.mark.parametrize(
    ("tampering", "flaw"),
    [
        ("update outlive.audit set details = '\"x\"' where erased_at is not null", Flaw.ALTERED),
        ("update outlive.audit set subject = 'x' where erased_at is not null", Flaw.ALTERED),
        ("update outlive.audit set action = 'x' where erased_at is not null", Flaw.ALTERED),
        ("update outlive.audit set erased_at = null where erased_at is not null", Flaw.ALTERED),
        ("update outlive.audit set erased_at = now() where erased_at is null", Flaw.ALTERED),
        ("delete from outlive.audit where erased_at is not null", Flaw.MISSING),
    ],
)
async def test_what_is_done_to_an_erased_row_is_found(
    state: AgentState, superuser: asyncpg.Connection, tampering: str, flaw: Flaw
) -> None:
    """An erased row keeps its place, its moment and its action, and says nothing; and no other row is taken for one."""
    await superuser.execute("truncate outlive.audit, outlive.audit_heads")
    await state.audit.record("said", actor="desk", subject=f"{PERSON}/3", details="x")
    await state.audit.record("said", actor="desk", subject="else", details="x")
    await state.conversations.erase(subject=f"{PERSON}/3")
    assert (await state.audit.verify()).defects == ()
    await superuser.execute(tampering)
    assert (await state.audit.verify()).defects[0].flaw is flaw
    await superuser.execute("truncate outlive.audit, outlive.audit_heads")


async def test_old_entries_go_and_the_rest_is_still_proved(state: AgentState, superuser: asyncpg.Connection) -> None:
    """A stream begins with the hash of the last row that was removed; removing more, or another one, is found."""
    await superuser.execute("truncate outlive.audit, outlive.audit_heads")
    for n in range(7):
        await state.audit.record("said", actor="desk", details=n)
    noted = await state.audit.heads()
    await state.audit.record("said", actor="desk", stream="young")
    old = timedelta(microseconds=1)
    assert (await state.audit.prune(timedelta(days=1))).entries == 0
    assert (await state.audit.prune(old, batch=3, dry_run=True)).entries == 8
    assert len(await state.audit.last()) == 7
    pruned = await state.audit.prune(old, batch=3)
    assert (pruned.streams, pruned.entries) == (2, 8)
    await state.audit.record("said", actor="desk", details="after")
    report = await state.audit.verify(noted)
    assert (report.defects, report.entries, report.pruned) == ((), 1, 8)
    for tampering, flaw in (
        ("update outlive.audit_heads set begin_position = 8 where stream = 'main'", Flaw.REPLACED),
        ("update outlive.audit_heads set begin_hash = sha256('x') where stream = 'main'", Flaw.UNLINKED),
        ("update outlive.audit_heads set begin_position = 0 where stream = 'main'", Flaw.MISSING),
    ):
        transaction = superuser.transaction()
        await transaction.start()
        await superuser.execute(tampering)
        await transaction.commit()
        assert flaw in {defect.flaw for defect in (await state.audit.verify()).defects}
        await superuser.execute(
            "update outlive.audit_heads set begin_position = 7, begin_hash = $1 where stream = 'main'", noted[0].hash
        )
    await superuser.execute("truncate outlive.audit, outlive.audit_heads")


async def test_a_damaged_entry_is_not_pruned_away(state: AgentState, superuser: asyncpg.Connection) -> None:
    """Evidence is kept: the stream stays as it is, and the error names the row."""
    await superuser.execute("truncate outlive.audit, outlive.audit_heads")
    for n in range(4):
        await state.audit.record("said", actor="desk", details=n)
    await superuser.execute("update outlive.audit set details = '9' where position = 3")
    with pytest.raises(outlive.StateError, match=r"row 3 .* altered"):
        await state.audit.prune(timedelta(microseconds=1))
    assert len(await state.audit.last()) == 4
    await superuser.execute("truncate outlive.audit, outlive.audit_heads")


async def test_only_the_owner_erases_in_the_log_and_prunes_it(server: Servers) -> None:
    """The application's role erases all else, and is told what remains; the owner's login then erases that too."""
    name = f"owned_{uuid4().hex[:8]}"
    await server.sql("n1", f"create role {name} login password 'p@ss/w:rd'", f"create database {name} owner {name}")
    owner = server.dsn(name, ("n1",), name)
    superuser = server.dsn(names=("n1",), database=name)
    await migrate(owner)
    await roles.ensure(superuser)
    await server.sql("n1", f"create role {name}_app login password 'p@ss/w:rd' in role outlive_app", f"grant outlive_owner to {name}")  # fmt: skip  # noqa: E501
    async with outlive.connect(server.dsn(f"{name}_app", ("n1",), name), degraded="allow") as db:
        state = AgentState(db)
        await state.preferences.set(PERSON, "seat", "x")
        await state.audit.record("said", actor="desk", subject=PERSON, details="x")
        report = await state.conversations.erase(subject=PERSON)
        assert (dict(report.rows), dict(report.remaining)) == ({"preferences": 1}, {"audit": 1})
        with pytest.raises(outlive.StateError, match="owner"):
            await state.audit.prune(timedelta(microseconds=1))
    async with outlive.connect(owner, degraded="allow") as db:
        report = await AgentState(db).conversations.erase(subject=PERSON)
        assert (dict(report.rows), dict(report.remaining)) == ({"audit": 1}, {})
        assert (await AgentState(db).audit.prune(timedelta(microseconds=1))).entries == 2
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute("delete from outlive.audit", idempotent=True)
        assert (await AgentState(db).audit.verify()).pruned == 2
    await server.sql("n1", f"drop database {name} with (force)", f"drop role {name}_app", f"drop role {name}")

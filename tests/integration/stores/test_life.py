"""Conversations are forked, exported, imported, erased and forgotten: whole, and nothing else with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import Any
from uuid import uuid4

import pytest

import outlive
from outlive.errors import ConfigurationError, KeyReusedError, LeaseLostError, NotFoundError, UnstorableError
from outlive.stores import AgentState, Conversation, Cost, NewTurn
from outlive.stores.app_sessions import SessionName, States
from outlive.stores.histories import Entry, History
from outlive.stores.shared import new_attempt


@pytest.fixture
def name() -> str:
    """An id that nothing else has."""
    return f"life-{uuid4()}"


async def lived(state: AgentState, name: str, **metadata: Any) -> Conversation:
    """A conversation with three turns, two checkpoints, and calls that finished, failed and were interrupted."""
    conversation = await state.conversations.open(name, worker="alice", metadata=metadata)
    await conversation.append("t0", "user", "Grüezi \u2028", tokens=3, dollars=Decimal("0.10"))
    await conversation.tool_call("early", lambda x: {"b": 1e-7, "a": [x]}, 10**30, cost=Cost(2, Decimal("0.5")))
    await conversation.checkpoint({"step": 1})
    await conversation.append("t1", "assistant", {"role": "assistant", "content": None, "z": 1, "a": 2})
    await conversation.tool_call("late", lambda: None)
    with pytest.raises(ZeroDivisionError):
        await conversation.tool_call("failed", lambda: 1 // 0)
    await conversation._hold.write("start_tool_call", "open", "look", "[]", b"h", new_attempt(), False)
    await conversation.append("t2", "tool", [1, {"x": None}])
    await conversation.checkpoint({"step": 2})
    return conversation


async def exported(state: AgentState, name: str, **options: Any) -> list[str]:
    """The lines of a conversation."""
    return [line async for line in state.conversations.export(name, **options)]


async def everything(state: AgentState, name: str) -> tuple[object, ...]:
    """What a conversation holds, but for the lease."""
    kept = await state.conversations.load(name)
    calls = [(c.key, c.name, c.arguments, c.status, c.result, c.error, c.tokens, c.dollars) for c in kept.tool_calls]
    return kept.status, kept.metadata, kept.turns, kept.checkpoint, calls


async def test_a_fork_begins_where_it_was_told_to(state: AgentState, name: str) -> None:
    """Turns up to the one named, the state and the finished calls of that moment; then it goes its own way."""
    original = await lived(state, name, subject="ada")
    assert await state.conversations.fork(name, f"{name}/fork", at_turn="t1") == 2
    fork = await state.conversations.open(f"{name}/fork", worker="bob")
    assert fork.turns == original.turns[:2]
    assert fork.last_checkpoint is not None
    assert (fork.last_checkpoint.version, fork.last_checkpoint.state) == (1, {"step": 1})
    assert list(fork.tool_calls) == ["early"]
    assert fork.metadata == {"subject": "ada"}
    await fork.append("t2", "tool", "another end")
    await fork.checkpoint({"step": "2b"})
    assert (await state.conversations.load(name)).turns == original.turns


async def test_a_fork_may_be_said_twice(state: AgentState, name: str) -> None:
    """Also after it went on; another turn, or an id that is taken, is refused."""
    await lived(state, name)
    assert await state.conversations.fork(name, f"{name}/fork") == 3
    await (await state.conversations.open(f"{name}/fork", worker="bob")).append("t3", "user", "on")
    assert await state.conversations.fork(name, f"{name}/fork") == 3
    for wrong in ({"new_id": f"{name}/fork", "at_turn": "t0"}, {"new_id": name}):
        with pytest.raises(KeyReusedError):
            await state.conversations.fork(name, **wrong)
    for id_, turn in (("nobody", None), (name, "t9")):
        with pytest.raises(NotFoundError):
            await state.conversations.fork(id_, f"{name}/other", at_turn=turn)


async def test_what_is_exported_can_be_imported(state: AgentState, name: str) -> None:
    """Under another database's roof all of it is equal, to the text of the content; the file is the same again."""
    await (await lived(state, name, subject="ada")).complete()
    before, lines = await everything(state, name), await exported(state, name)
    assert [next(iter(json.loads(line))) for line in lines] == [
        "conversation",
        *["turn"] * 3,
        *["tool_call"] * 4,
        *["checkpoint"] * 2,
    ]
    await state.conversations.erase(name, refuse_for=timedelta(microseconds=1))
    report = await state.conversations.import_(lines)
    assert (report.imported, report.unchanged, report.turns) == (1, 0, 3)
    assert await everything(state, name) == before
    assert await exported(state, name) == lines
    again = await state.conversations.open(name, worker="bob")
    assert await again.tool_call("early", lambda x: x, 10**30, name="<lambda>") == {"b": 1e-7, "a": [10**30]}


async def test_the_same_import_twice_is_one(state: AgentState, name: str) -> None:
    """What is there stays as it is; what is there with other content is refused and stays too."""
    conversation = await lived(state, name)
    lines = await exported(state, name)
    report = await state.conversations.import_(lines)
    assert (report.imported, report.unchanged) == (0, 1)
    await conversation.append("t3", "user", "meanwhile")
    with pytest.raises(KeyReusedError, match=name):
        await state.conversations.import_(lines)
    assert len((await state.conversations.load(name)).turns) == 4


async def test_chats_go_in_and_out(state: AgentState, name: str) -> None:
    """The transcripts that ship with the product come back message for message."""
    text = files("outlive.demo").joinpath("transcripts.jsonl").read_text("utf-8")
    chats = [json.loads(line) for line in text.split("\n")[:20] if line]

    async def lines() -> AsyncIterator[str]:
        for chat in chats:
            yield json.dumps({**chat, "id": f"{name}/{chat['id']}", "metadata": {"run": name}})

    report = await state.conversations.import_(lines())
    assert (report.imported, report.turns) == (len(chats), sum(len(chat["messages"]) for chat in chats))
    for chat in chats:
        (line,) = await exported(state, f"{name}/{chat['id']}", format="openai")
        assert json.loads(line)["messages"] == chat["messages"]
    again = await state.conversations.import_(lines())
    assert (again.imported, again.unchanged) == (0, len(chats))


async def test_a_chat_without_an_id_gets_one_of_its_own(state: AgentState, name: str) -> None:
    """The same messages make the same id; a turn that is no message becomes one."""
    chat = json.dumps({"messages": [{"role": "user", "content": name}]})
    assert (await state.conversations.import_([chat, chat])).imported == 1
    await lived(state, name)
    (line,) = await exported(state, name, format="openai")
    assert json.loads(line)["messages"] == [
        {"role": "user", "content": "Grüezi \u2028"},
        {"role": "assistant", "content": None, "z": 1, "a": 2},
        {"role": "tool", "content": '[1,{"x":null}]'},
    ]


async def test_a_damaged_line_leaves_nothing_half_written(state: AgentState, name: str) -> None:
    """What was whole before it is kept, and the error has the line's number."""
    await lived(state, name)
    lines = await exported(state, name)
    await state.conversations.erase(name, refuse_for=timedelta(microseconds=1))
    chat = json.dumps({"id": f"{name}/chat", "messages": [{"role": "user", "content": "x"}]})
    for damaged, line in (
        ([*lines[:3], lines[3][:-5]], 5),
        (lines[:-1], len(lines) + 1),
        ([lines[0], *lines[2:]], 3),
        ([lines[0], "{}"], 3),
        (["[1]"], 2),
    ):
        with pytest.raises(UnstorableError, match=f"line {line}: "):
            await state.conversations.import_([chat, *damaged])
        with pytest.raises(NotFoundError):
            await state.conversations.load(name)
    assert (await state.conversations.load(f"{name}/chat")).turns[0].content == {"role": "user", "content": "x"}


async def test_what_could_not_be_appended_cannot_be_imported(db: outlive.Cluster, state: AgentState, name: str) -> None:
    """A NUL and too large a turn are refused with the line, before anything of it is kept."""
    for content in ("a\0b", "x" * 200_000):
        chat = json.dumps({"id": name, "messages": [{"role": "user", "content": content}]})
        with pytest.raises(UnstorableError, match=r"line 1.*(NUL|200,)"):
            await AgentState(db, max_value_bytes=100_000).conversations.import_([chat])
    with pytest.raises(NotFoundError):
        await state.conversations.load(name)


async def test_everything_of_a_person_is_erased(db: outlive.Cluster, state: AgentState, name: str) -> None:
    """Conversations, forks, histories, sessions and states of the subject; counted, and nobody else's."""
    await lived(state, name, subject=name)
    await state.conversations.fork(name, f"{name}/fork", at_turn="t0")
    await state.conversations.set_metadata(f"{name}/fork", {})
    await lived(state, f"{name}/other", subject="somebody else")
    await state.shared.append(f"{name}/shared", [NewTurn("t0", "user", "x")])
    await state.shared.take_last(f"{name}/shared")
    await state.conversations.merge_metadata(f"{name}/shared", {"subject": name})
    now = datetime.now(UTC)
    await state.histories.write(
        History(f"{name}/h", "r1", f"{name}/e2", {}, now, scope=name),
        [Entry(f"{name}/e1", None, 1), Entry(f"{name}/e2", f"{name}/e1", 2)], expected=None,
    )  # fmt: skip
    session = SessionName("app", name, "s")
    await state.app_sessions.create(session, States(user={"x": 1}), now)
    await state.app_sessions.append(session, "e", now, {}, States(), expected=None)
    saved = "SELECT outlive.save_agent_state($1, 0, $2, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') AS version"
    await state.conversations._statements.write(saved, name, new_attempt())

    report = await state.conversations.erase(subject=name)
    assert {table: rows for table, rows in report.rows.items() if table != "objects"} == {
        "agent_states": 1, "app_session_events": 1, "app_sessions": 1, "app_states": 1, "checkpoints": 3,
        "conversations": 3, "forks": 1, "histories": 1, "history_entries": 2, "taken_turns": 1, "tool_calls": 4,
        "turns": 4,
    }  # fmt: skip
    assert len((await state.conversations.load(f"{name}/other")).turns) == 3
    assert (await state.conversations.erase(subject=name)).rows == {}
    assert await mentions(db, name) == []


async def mentions(db: outlive.Cluster, name: str) -> list[str]:
    """The tables of the schema in which a name still stands, but for the conversation that is somebody else's."""
    tables = await db.fetch(
        "SELECT c.relname FROM pg_class AS c WHERE relnamespace = 'outlive'::regnamespace AND relkind = 'r'",
        read="strong",
    )
    found = []
    for (table,) in tables:
        sql = f"SELECT count(*) FROM outlive.{table} AS t WHERE t::text LIKE $1 AND t::text NOT LIKE $2"
        if await db.fetchval(sql, f"%{name}%", "%/other%", read="strong"):
            found.append(table)
    return found


async def test_a_late_write_brings_nothing_back(state: AgentState, name: str) -> None:
    """No way of writing makes an erased conversation again, one that never was included."""
    held = await lived(state, name)
    lines = await exported(state, name)
    await state.conversations.erase(name, f"{name}/never")
    for write in (
        held.append("t9", "user", "late"),
        held.checkpoint({}),
        state.shared.append(name, [NewTurn("t0", "user", "late")]),
        state.shared.append(f"{name}/never", [NewTurn("t0", "user", "late")]),
        state.conversations.open(name, worker="bob"),
        state.conversations.create([name]),
        state.conversations.import_(lines),
    ):
        with pytest.raises(NotFoundError):
            await write
    with pytest.raises(NotFoundError):
        await state.conversations.load(name)


async def test_an_erasure_waits_for_a_write_and_then_takes_it_too(state: AgentState, name: str) -> None:
    """Appends under way and an erasure, all at once: in the end nothing is there."""
    held = await lived(state, name)
    results = await asyncio.gather(
        *(held.append(f"n{n}", "user", "x") for n in range(20)),
        state.conversations.erase(name),
        return_exceptions=True,
    )
    assert all(not isinstance(result, BaseException) or isinstance(result, NotFoundError) for result in results)
    with pytest.raises(NotFoundError):
        await state.conversations.load(name)


async def test_nothing_named_is_nothing_erased(state: AgentState) -> None:
    """An empty call is a mistake, and so is an empty subject."""
    with pytest.raises(ConfigurationError):
        await state.conversations.erase()
    with pytest.raises(UnstorableError):
        await state.conversations.erase(subject="")


async def test_what_is_old_is_forgotten_in_batches(db: outlive.Cluster, state: AgentState, name: str) -> None:
    """Held and recent ones stay, a dry run changes nothing, and progress adds up."""
    names = [f"{name}/{number}" for number in range(12)]
    for each in names:
        conversation = await state.conversations.open(each, worker="alice", lease_s=3600)
        await conversation.append("t0", "user", "x")
        if each != names[5]:
            await conversation.release()
    async with db.connection() as connection:
        old = "UPDATE outlive.conversations SET updated_at = now() - interval '100 days' WHERE id = ANY ($1)"
        await connection.execute(old, names[:10])
    seen: list[int] = []
    dry = await state.conversations.retention(timedelta(days=90), batch=4, dry_run=True)
    done = await state.conversations.retention(
        timedelta(days=90), batch=4, on_progress=lambda so_far: seen.append(so_far.conversations)
    )
    assert (dry.conversations, dry.turns) == (done.conversations, done.turns) == (9, 9)
    assert seen == sorted(seen)
    assert len(seen) == done.batches > 2
    assert await state.conversations.count_open(names) == 3
    assert (await state.conversations.retention(timedelta(days=90))).conversations == 0


async def test_retention_leaves_alone_what_is_being_written(db: outlive.Cluster, state: AgentState, name: str) -> None:
    """A locked row is passed over, not waited for; the next run takes it."""
    await state.conversations.create([name])
    async with db.connection() as connection:
        await connection.execute(
            "UPDATE outlive.conversations SET updated_at = now() - interval '100 days' WHERE id = $1", name
        )
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM outlive.conversations WHERE id = $1 FOR NO KEY UPDATE", name)
            assert (await state.conversations.retention(timedelta(days=90))).conversations == 0
    assert (await state.conversations.retention(timedelta(days=90))).conversations == 1


async def test_a_lease_is_no_shield_against_erasure(state: AgentState, name: str) -> None:
    """A person's right goes before a worker's; the worker learns it at its next write."""
    held = await lived(state, name)
    assert (await state.conversations.erase(name)).rows["turns"] == 3
    with pytest.raises((NotFoundError, LeaseLostError)):
        await held.append("t3", "user", "x")

"""Conversations on a real cluster: kept once, in order, by one worker at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

import outlive
from integration.client.waiting import until
from integration.conftest import RunningCluster
from outlive.errors import ConfigurationError, KeyReusedError, LeaseLostError, NotFoundError, UnstorableError
from outlive.stores import AgentState, Conversation, Cost, NewTurn, migrate


@pytest.fixture
async def db(cluster: RunningCluster) -> AsyncIterator[outlive.Cluster]:
    """A client of the cluster, the schema made."""
    async with outlive.connect(cluster.dsn) as client:
        await migrate(client)
        yield client


@pytest.fixture
def state(db: outlive.Cluster) -> AgentState:
    """The stores."""
    return AgentState(db)


@pytest.fixture
def name() -> str:
    """A conversation's id that nothing else has."""
    return f"conversation-{uuid4()}"


@pytest.fixture
async def conversation(state: AgentState, name: str) -> Conversation:
    """A new conversation, held by `alice`."""
    return await state.conversations.open(name, worker="alice")


async def contents(state: AgentState, name: str) -> list[Any]:
    """What the turns of a conversation say, as the primary has them."""
    return [turn.content for turn in (await state.conversations.load(name)).turns]


async def test_another_worker_goes_on_where_the_first_one_left(state: AgentState, name: str) -> None:
    """Turns, checkpoint, metadata and tool calls come back with one call, equal to what was kept."""
    first = await state.conversations.open(name, worker="alice", metadata={"topic": "reise 🚆"})
    message = {
        "role": "assistant",
        "content": "ja, \u2028 \\u0000 \U0001f3bb",
        "n": 1e-7,
        "z": None,
        "a": [1.0, 10**30],
    }
    await first.append("t0", "user", "Grüezi")
    await first.append("t1", "assistant", message, tokens=7, dollars=0.1)
    await first.tool_call("k", lambda x: {"found": x}, "cello", name="look", cost=Cost(3, Decimal("0.02")))
    kept = await first.checkpoint({"step": 2})
    await first.release()

    second = await state.conversations.open(name, worker="bob")
    assert second.lease_token > first.lease_token
    assert second.metadata == {"topic": "reise 🚆"}
    assert second.turns == first.turns
    assert [turn.position for turn in second.turns] == [0, 1]
    assert list(second.turns[1].content.items()) == list(message.items())
    assert (second.turns[1].tokens, second.turns[1].dollars) == (7, Decimal("0.1"))
    assert second.last_checkpoint == kept
    assert second.tool_calls == first.tool_calls
    assert second.tool_calls["k"].result == {"found": "cello"}


async def test_the_same_turn_twice_is_kept_once(state: AgentState, conversation: Conversation) -> None:
    """A repeated append returns the turn that is there."""
    first = await conversation.append("t0", "user", {"b": 1, "a": 2})
    assert await conversation.append("t0", "user", {"b": 1, "a": 2}) == first
    assert await contents(state, conversation.id) == [{"b": 1, "a": 2}]


@pytest.mark.parametrize(("role", "content"), [("user", "other"), ("assistant", "hi")])
async def test_an_id_with_other_content_is_refused(conversation: Conversation, role: str, content: str) -> None:
    """An id names one turn for ever."""
    await conversation.append("t0", "user", "hi")
    with pytest.raises(KeyReusedError, match="'t0'"):
        await conversation.append("t0", role, content)


async def test_several_turns_are_kept_all_or_none(state: AgentState, conversation: Conversation) -> None:
    """One reused id keeps the whole append out; known turns among new ones stay where they are."""
    await conversation.append_all([NewTurn("t0", "user", "a"), NewTurn("t1", "assistant", "b")])
    with pytest.raises(KeyReusedError):
        await conversation.append_all([NewTurn("t2", "user", "c"), NewTurn("t1", "assistant", "other")])
    assert await contents(state, conversation.id) == ["a", "b"]
    kept = await conversation.append_all([NewTurn("t1", "assistant", "b"), NewTurn("t2", "user", "c")])
    assert [turn.position for turn in kept] == [1, 2]
    assert await conversation.append_all([]) == ()


async def test_concurrent_appends_leave_no_hole(state: AgentState, conversation: Conversation) -> None:
    """Positions are 0, 1, 2 ... whoever comes first, and the worker's own picture is the database's."""
    await asyncio.gather(*(conversation.append(f"t{n}", "user", n) for n in range(40)))
    stored = (await state.conversations.load(conversation.id)).turns
    assert [turn.position for turn in stored] == list(range(40))
    assert conversation.turns == stored


async def test_a_held_conversation_is_refused_to_others(state: AgentState, conversation: Conversation) -> None:
    """The message names the holder."""
    with pytest.raises(LeaseLostError, match=r"is held by 'alice' \(for another \d+\.\d s\)"):
        await state.conversations.open(conversation.id, worker="bob")


async def test_a_restarted_worker_need_not_wait_for_itself(state: AgentState, conversation: Conversation) -> None:
    """The same name gets the lease at once, and its former self is fenced off."""
    again = await state.conversations.open(conversation.id, worker="alice")
    await again.append("t0", "user", "new self")
    with pytest.raises(LeaseLostError):
        await conversation.append("t1", "user", "old self")


async def test_a_worker_that_lost_its_lease_writes_nothing(state: AgentState, name: str) -> None:
    """Every kind of write is refused, and nothing of it is applied."""
    paused = await state.conversations.open(name, worker="alice", lease_s=0.05)
    ran: list[str] = []
    taker = await until_taken(state, name)
    before = await state.conversations.load(name)
    for write in (
        paused.append("t0", "user", "too late"),
        paused.append_all([NewTurn("t1", "user", "too late")]),
        paused.checkpoint({"too": "late"}),
        paused.tool_call("k", ran.append, "too late"),
        paused.renew(),
        paused.complete(),
        paused.release(),
    ):
        with pytest.raises(LeaseLostError, match="its holder is 'bob'"):
            await write
    assert ran == []
    after = await state.conversations.load(name)
    assert (after.turns, after.checkpoint, after.tool_calls, after.status) == ((), None, (), "open")
    assert after.lease_until == before.lease_until
    await taker.append("t0", "user", "in time")


async def test_an_expired_lease_that_nobody_took_is_still_good(
    db: outlive.Cluster, state: AgentState, name: str
) -> None:
    """What fences a worker off is the next lease, not the clock; its write renews the lease."""
    slow = await state.conversations.open(name, worker="alice", lease_s=0.05)
    over = "SELECT lease_until < clock_timestamp() FROM outlive.conversations WHERE id = $1"
    await until(lambda: db.fetchval(over, name, read="strong"))
    await slow.append("t0", "user", "late, and alone")
    assert await contents(state, name) == ["late, and alone"]


async def test_a_lease_is_kept_alive_while_something_takes_long(state: AgentState, name: str) -> None:
    """A renewed lease is refused to others long after its first end; afterwards it ends."""
    # Two thirds of it is how late a renewal may come on a busy machine before another one has the lease by right.
    holder = await state.conversations.open(name, worker="alice", lease_s=3.0)
    first_end = (await state.conversations.load(name)).lease_until
    assert first_end is not None

    async def renewed() -> bool:
        until_when = (await state.conversations.load(name)).lease_until
        return until_when is not None and (until_when - first_end).total_seconds() > 3.0

    async with holder.keep_alive():
        await until(renewed)
        with pytest.raises(LeaseLostError):
            await state.conversations.open(name, worker="bob")
    await until_taken(state, name)


async def test_whoever_is_cancelled_while_a_renewal_ends_is_cancelled(conversation: Conversation) -> None:
    """The end of keeping a lease alive is no place where a cancellation gets lost."""
    leave = asyncio.Event()

    async def hold() -> None:
        async with conversation.keep_alive():
            await leave.wait()

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    leave.set()
    await asyncio.sleep(0)  # it waits for the renewal to end now
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding


async def test_leaving_the_block_gives_the_lease_back(state: AgentState, name: str) -> None:
    """Another worker may go on at once, and the former one writes no more."""
    async with await state.conversations.open(name, worker="alice") as first:
        await first.append("t0", "user", "hi")
    async with await state.conversations.open(name, worker="bob") as second:
        assert [turn.content for turn in second.turns] == ["hi"]
    with pytest.raises(LeaseLostError, match="it was released"):
        await second.append("t1", "user", "after the end")


async def test_a_reload_waits_for_the_write_under_way_and_shows_it(
    db: outlive.Cluster, state: AgentState, name: str
) -> None:
    """What is read was read after the lock: a turn that was being committed is not missed."""
    first = await state.conversations.open(name, worker="alice")
    async with db.connection() as connection, connection.transaction():
        await connection.fetch(
            "SELECT * FROM outlive.append_turns($1, $2, '{30}', '{1}', '{t0}', '{user}', '{1}', '{0}', '{0}')",
            [name],
            [first.lease_token],
        )
        opening = asyncio.create_task(state.conversations.open(name, worker="alice"))
        await until(lambda: waits_for_a_lock(db))
        assert not opening.done()
    assert [turn.id for turn in (await opening).turns] == ["t0"]


async def test_workers_share_a_list_without_getting_in_each_other_s_way(state: AgentState, name: str) -> None:
    """Each conversation is claimed once; what is held, complete or unknown is passed over."""
    names = [f"{name}/{n}" for n in range(8)]
    assert await state.conversations.create(names) == 8
    assert await state.conversations.create(names) == 0
    done = await state.conversations.open(names[0], worker="done")
    await done.complete()
    claimed = await asyncio.gather(*(state.conversations.claim([*names, "unknown"], worker=f"w{n}") for n in range(9)))
    held = [conversation.id for conversation in claimed if conversation is not None]
    assert sorted(held) == names[1:]
    assert await state.conversations.count_open(names) == 7


async def test_a_dead_worker_s_conversation_is_claimed_when_its_lease_is_over(
    db: outlive.Cluster, state: AgentState, name: str
) -> None:
    """Taking over needs nobody's help."""
    dead = await state.conversations.open(name, worker="alice")
    await dead.append("t0", "user", "last words")
    assert await state.conversations.claim([name], worker="bob") is None
    await db.execute("UPDATE outlive.conversations SET lease_until = clock_timestamp() WHERE id = $1", name)
    heir = await until_claimed(state, name)
    assert [turn.content for turn in heir.turns] == ["last words"]


async def test_a_complete_conversation_is_reopened_by_a_new_turn(state: AgentState, conversation: Conversation) -> None:
    """Complete is a statement about now; completing twice is completing once."""
    await conversation.complete()
    await conversation.complete()
    assert (await state.conversations.load(conversation.id)).status == "complete"
    later = await state.conversations.open(conversation.id, worker="bob")
    before = later.is_complete
    await later.append("t0", "user", "one more thing")
    assert (before, later.is_complete) == (True, False)
    assert (await state.conversations.load(conversation.id)).status == "open"


async def test_checkpoints_are_numbered(state: AgentState, conversation: Conversation) -> None:
    """The newest comes back, with the number of turns at its time."""
    await conversation.checkpoint({"step": 1})
    await conversation.append("t0", "user", "hi")
    second = await conversation.checkpoint({"step": 2})
    assert (second.version, second.turn_count) == (2, 1)
    assert (await state.conversations.load(conversation.id)).checkpoint == second


async def test_every_write_may_be_said_twice(state: AgentState, conversation: Conversation) -> None:
    """The client repeats a write whose answer it lost; the repetition changes nothing and answers the same."""
    hold, attempt = conversation._hold, uuid4()
    writes: list[tuple[str, tuple[Any, ...]]] = [
        ("checkpoint", (1, '{"step":1}')),
        ("start_tool_call", ("k", "look", "[]", b"hash", attempt, False)),
        ("end_tool_call", ("k", attempt, "42", None, 0, Decimal(0))),
        ("start_tool_call", ("f", "look", "[]", b"hash", attempt, False)),
        ("end_tool_call", ("f", attempt, None, "broken", 0, Decimal(0))),
    ]
    for query, arguments in writes:
        assert await hold.write(query, *arguments) == await hold.write(query, *arguments)
    assert await conversation.append("t0", "user", "hi") == await conversation.append("t0", "user", "hi")
    picture = await state.conversations.load(conversation.id)
    assert (len(picture.turns), picture.checkpoint and picture.checkpoint.version) == (1, 1)
    assert [call.attempts for call in picture.tool_calls] == [1, 1]


async def test_what_can_t_be_kept_is_refused_before_anything_is_written(
    state: AgentState, conversation: Conversation
) -> None:
    """A NUL or too many bytes are the caller's error, with the size in it."""
    for content in ({"text": "a\0b"}, "x" * (8 * 1024 * 1024)):
        with pytest.raises(UnstorableError):
            await conversation.append_all([NewTurn("t0", "user", "fine"), NewTurn("t1", "user", content)])
    assert await contents(state, conversation.id) == []


async def test_a_turn_of_the_full_size_is_kept(state: AgentState, conversation: Conversation) -> None:
    """The limit is a limit, not a wish."""
    text = "ü" * (4 * 1024 * 1024 - 1)
    await conversation.append("t0", "user", text)
    assert await contents(state, conversation.id) == [text]


async def test_an_unknown_conversation_is_named(state: AgentState) -> None:
    """Loading is no way to make one."""
    with pytest.raises(NotFoundError, match="'nobody'"):
        await state.conversations.load("nobody")


async def test_a_lease_without_a_length_is_refused(state: AgentState, name: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="lease_s"):
        await state.conversations.open(name, worker="alice", lease_s=0)


async def until_taken(state: AgentState, name: str) -> Conversation:
    """Open the conversation as `bob` as soon as its lease is over."""
    taken: list[Conversation] = []

    async def take() -> bool:
        try:
            taken.append(await state.conversations.open(name, worker="bob"))
        except LeaseLostError:
            return False
        return True

    await until(take)
    return taken[0]


async def until_claimed(state: AgentState, name: str) -> Conversation:
    """Claim the conversation as `bob` as soon as its lease is over."""
    claimed: list[Conversation] = []

    async def claim() -> bool:
        conversation = await state.conversations.claim([name], worker="bob")
        if conversation is not None:
            claimed.append(conversation)
        return bool(claimed)

    await until(claim)
    return claimed[0]


async def waits_for_a_lock(db: outlive.Cluster) -> bool:
    """Whether some backend waits for another's transaction."""
    sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"
    return bool(await db.fetchval(sql, read="strong"))

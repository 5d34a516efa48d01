"""Appends that come together share a statement and a commit, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from uuid import uuid4

import pytest

import outlive
from outlive.errors import ConfigurationError, KeyReusedError, LeaseLostError, NotFoundError, UnstorableError
from outlive.stores import AgentState, Conversation, NewTurn, Turn
from outlive.stores.appends import Append
from outlive.stores.turns import TurnColumns
from outlive.telemetry.events import AttemptStarted, Event


@pytest.fixture
async def held(state: AgentState) -> list[Conversation]:
    """Six conversations, held by `alice`."""
    return [await state.conversations.open(f"together-{uuid4()}", worker="alice") for _ in range(6)]


async def appended(conversations: Sequence[Conversation], turn: str = "t1") -> list[tuple[Turn, ...] | BaseException]:
    """What becomes of one append to each, all at once."""
    turns = [NewTurn(turn, "user", turn), NewTurn(f"{turn}b", "assistant", {"n": turn})]
    return await asyncio.gather(*(each.append_all(turns) for each in conversations), return_exceptions=True)


async def test_each_append_has_its_own_result(state: AgentState, held: list[Conversation]) -> None:
    """Turns, positions and times are those that the database keeps for that conversation."""
    await held[0].append("t0", "user", "earlier")
    for conversation, kept in zip(held, await appended(held), strict=True):
        stored = (await state.conversations.load(conversation.id)).turns
        assert stored == conversation.turns
        assert stored[-2:] == kept
        assert [turn.position for turn in stored] == list(range(len(stored)))


async def test_each_caller_has_the_receipt_of_its_commit(db: outlive.Cluster, held: list[Conversation]) -> None:
    """Whatever its append was sent together with, and each other write of a store has one too."""

    async def append(conversation: Conversation) -> list[outlive.Receipt]:
        with outlive.receipts() as made:
            await conversation.append("t1", "user", "x")
            await conversation.checkpoint({"step": 1})
        return list(made)

    for receipts in await asyncio.gather(*(append(each) for each in held)):
        assert len(receipts) == 2
        for receipt in receipts:
            assert receipt.synchronous_standbys
            assert (await db.locate(receipt)).lsn is not None


async def test_a_refused_one_fails_alone(state: AgentState, db: outlive.Cluster, held: list[Conversation]) -> None:
    """A stolen lease, a reused id, an unknown conversation and a released one: the rest is kept."""
    stolen, reused, unknown, released, *fine = held
    await state.conversations.open(stolen.id, worker="alice")
    await reused.append("t1b", "user", "other")
    async with db.connection() as connection:
        await connection.execute("DELETE FROM outlive.conversations WHERE id = $1", unknown.id)
    await released.release()
    results = await appended(held)
    kinds = [LeaseLostError, KeyReusedError, NotFoundError, LeaseLostError]
    assert [type(result) for result in results[:4]] == kinds
    messages = ["its holder is 'alice'", "the turn 't1b'", "there is no conversation", "it was released"]
    for message, result in zip(messages, results, strict=False):
        assert message in str(result)
    assert [turn.content for turn in (await state.conversations.load(reused.id)).turns] == ["other"]
    for conversation in fine:
        assert len((await state.conversations.load(conversation.id)).turns) == 2


async def test_what_the_server_cannot_take_fails_alone(state: AgentState, held: list[Conversation]) -> None:
    """One value that PostgreSQL refuses undoes the group; its calls are then sent one by one."""
    bad, *fine = held
    spoilt = Append(bad.id, bad.lease_token, 30.0, TurnColumns(["t1"], ["user"], ["no JSON"], [0], [Decimal(0)]))
    results = await asyncio.gather(
        state.conversations._appends.append(spoilt),
        *(each.append("t1", "user", "x") for each in fine),
        return_exceptions=True,
    )
    assert isinstance(results[0], UnstorableError)
    assert [isinstance(result, Turn) for result in results[1:]] == [True] * len(fine)
    assert (await state.conversations.load(bad.id)).turns == ()


async def test_many_appends_are_few_statements(database: str) -> None:
    """Twenty conversations append in one or two groups; each open and each lone append is one statement."""
    events: list[Event] = []

    def statements() -> int:
        # Where the cluster changes its standbys meanwhile, an attempt is refused and made again: that is no other call.
        return sum(isinstance(event, AttemptStarted) and event.attempt == 1 for event in events)

    async with outlive.connect(database, telemetry=events.append) as db:
        conversations = AgentState(db).conversations
        held = [await conversations.open(f"few-{uuid4()}", worker="alice") for _ in range(20)]
        opened = statements()
        await asyncio.gather(*(each.append("t0", "user", "x") for each in held))
    assert opened == 20
    assert statements() - opened <= 2


async def test_an_append_is_no_part_of_a_transaction_around_it(db: outlive.Cluster, held: list[Conversation]) -> None:
    """It is refused at once, and nothing that is sent together with it suffers."""

    async def nested(_tx: outlive.Transaction) -> None:
        await held[0].append("t0", "user", "x")

    with pytest.raises(ConfigurationError, match="inside a function"):
        await db.run(nested)
    assert (await held[0].append("t0", "user", "x")).position == 0

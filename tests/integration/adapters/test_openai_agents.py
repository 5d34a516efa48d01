"""The session for the OpenAI Agents SDK on a real cluster, held against the SDK's own."""

from __future__ import annotations

from uuid import uuid4

import pytest
from agents.memory import Session, SQLiteSession

import outlive
from conformance.openai_session import OpenAISessionConformance, Opener, items, texts
from outlive.adapters.openai_agents import OutliveSession
from outlive.stores import AgentState
from outlive.stores.queries import queries


class TestSQLite(OpenAISessionConformance):
    """The SDK's own session passes the suite: it asks for nothing that the seam doesn't."""

    @pytest.fixture
    def opened(self, tmp_path: object) -> Opener:
        """Sessions in a file."""
        return lambda name, **options: SQLiteSession(name, f"{tmp_path}/sessions.db", **options)


class TestOutlive(OpenAISessionConformance):
    """Ours."""

    @pytest.fixture
    def opened(self, db: outlive.Cluster) -> Opener:
        """Sessions on the cluster."""
        return lambda name, **options: OutliveSession(db, name, **options)

    def test_it_has_the_protocol(self, opened: Opener) -> None:
        """The SDK takes it for a session."""
        assert isinstance(opened("s"), Session)


async def test_the_same_taking_back_twice_takes_one(db: outlive.Cluster) -> None:
    """What a retry after a lost answer says again gives the same item and takes no other."""
    session, attempt = OutliveSession(db, "taken-twice"), uuid4()
    await session.add_items(items("a", "b"))
    answers = [
        await db.fetchval(queries("shared")["take_back"], "taken-twice", attempt, -1, 1, [], [], []) for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert texts(await session.get_items()) == ["a"]


async def test_positions_stay_without_a_hole(state: AgentState) -> None:
    """After items were taken back and added, turns are numbered from 0 on."""
    session = OutliveSession(state, "no-hole")
    await session.add_items(items("a", "b"))
    await session.pop_item()
    await session.add_items(items("c", "d"))
    kept = await state.conversations.load("no-hole")
    assert [turn.position for turn in kept.turns] == [0, 1, 2]


async def test_a_held_conversation_takes_no_item(state: AgentState) -> None:
    """While a worker has the lease, it alone writes."""
    session = OutliveSession(state, "held")
    async with await state.conversations.open("held", worker="alice"):
        with pytest.raises(outlive.LeaseLostError, match="alice"):
            await session.add_items(items("a"))
    await session.add_items(items("a"))


async def test_what_cannot_be_kept_is_refused_whole(db: outlive.Cluster) -> None:
    """A NUL in an item is a typed error, and nothing of the call is kept."""
    session = OutliveSession(db, "refused")
    with pytest.raises(outlive.UnstorableError, match="NUL"):
        await session.add_items(items("a", "b\0"))
    assert await session.get_items() == []

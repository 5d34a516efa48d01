"""Pydantic AI's conversation store on a real cluster, held against the framework's own."""

from __future__ import annotations

import pytest
from pydantic_ai.conversation_store import ConversationStore, InMemoryConversationStore

import outlive
from conformance.conversation_store import ConversationStoreConformance, new, said
from outlive.adapters.pydantic_ai import OutliveConversationStore
from outlive.stores import AgentState
from outlive.stores.histories import Entry, History
from outlive.system import now_utc


class TestInMemory(ConversationStoreConformance):
    """The framework's own store passes the suite: it asks for nothing that the seam doesn't."""

    @pytest.fixture
    def store(self) -> ConversationStore:
        """A store that forgets."""
        return InMemoryConversationStore()


class TestOutlive(ConversationStoreConformance):
    """Ours."""

    @pytest.fixture
    def store(self, db: outlive.Cluster) -> ConversationStore:
        """A store on the cluster."""
        return OutliveConversationStore(db)


async def test_the_same_write_twice_is_applied_once(state: AgentState) -> None:
    """A repetition after a lost answer, of a creation or a replacement, changes nothing and is no conflict."""
    first = History("twice", "r1", "e1", {"n": 1}, now_utc())
    second = History("twice", "r2", "e2", {"n": 2}, now_utc(), scope="s", branches=("e1",))
    for _ in range(2):
        await state.histories.write(first, [Entry("e1", None, "a")], expected=None)
    for _ in range(2):
        await state.histories.write(second, [Entry("e2", "e1", "b")], expected="r1")
    assert await state.histories.read("twice") == second
    assert [entry.content for entry in await state.histories.path("e2")] == ["a", "b"]


async def test_an_entry_with_other_content_is_refused(state: AgentState) -> None:
    """An id names one message for ever, and nothing of the write is kept."""
    await state.histories.write(History("h1", "r1", "x", None, now_utc()), [Entry("x", None, "a")], expected=None)
    with pytest.raises(outlive.KeyReusedError):
        await state.histories.write(
            History("h2", "r1", "x", None, now_utc()), [Entry("y", None, "b"), Entry("x", None, "b")], expected=None
        )
    assert await state.histories.read("h2") is None
    assert await state.histories.path("y") == ()


async def test_what_cannot_be_kept_is_refused_whole(db: outlive.Cluster) -> None:
    """A NUL in a message is a typed error, and nothing of the save is kept."""
    store = OutliveConversationStore(db)
    conversation = new("a")
    conversation.messages += said("b\0")
    with pytest.raises(outlive.UnstorableError, match="NUL"):
        await store.save(conversation)
    assert await store.load(conversation.conversation_id) is None

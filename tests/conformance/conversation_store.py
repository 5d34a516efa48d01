"""What every conversation store of Pydantic AI has to do: one suite for the framework's own store and for ours."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from pydantic_ai import Agent, BinaryContent, DeferredToolRequests
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict, ConversationRecord, ConversationStore
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel


def said(*texts: str) -> list[ModelMessage]:
    """A user and an assistant in turns."""
    return [
        ModelRequest(parts=[UserPromptPart(text)]) if place % 2 == 0 else ModelResponse(parts=[TextPart(text)])
        for place, text in enumerate(texts)
    ]


def echo(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """A model that tells how many messages it was sent."""
    return ModelResponse(parts=[TextPart(f"{len(messages)} messages")])


def new(*texts: str, id: str | None = None) -> Conversation:  # noqa: A002 - the word of the field
    """A conversation that no store has."""
    return Conversation(conversation_id=id or str(uuid4()), messages=said(*texts))


class ConversationStoreConformance:
    """Inherited by a test class that has a fixture `store`."""

    async def test_runs_go_on_from_what_was_saved(self, store: ConversationStore) -> None:
        """A second program's run is sent the first one's messages, and what it adds is appended."""
        agent, name = Agent(FunctionModel(echo)), str(uuid4())
        for _ in range(2):
            conversation = await store.load(name) or Conversation(conversation_id=name)
            await store.save(await agent.run("again", conversation=conversation))
        kept = await store.load(name)
        assert kept is not None
        assert [type(message) for message in kept.messages] == [ModelRequest, ModelResponse] * 2
        assert kept.messages[-1].parts[0].content == "3 messages"  # type: ignore[union-attr]
        assert kept.usage.requests == 2

    async def test_everything_of_a_message_comes_back(self, store: ConversationStore) -> None:
        """Bytes, tool calls, tool results, other alphabets and what a paused run waits for are equal after a load."""
        call = ToolCallPart("book", {"seat": "12A", "price": 1e-7}, tool_call_id="c1")
        prompt = UserPromptPart(["Grüezi 🚆 \u2028 \\u0000", BinaryContent(b"\0\xff", media_type="application/pdf")])
        messages: list[ModelMessage] = [
            ModelRequest(parts=[prompt]),
            ModelResponse(parts=[call]),
            ModelRequest(parts=[ToolReturnPart("book", {"b": 1, "a": [None]}, tool_call_id="c1")]),
            ModelResponse(parts=[TextPart("ja")]),
        ]
        conversation = Conversation(messages=messages, deferred_tool_requests=DeferredToolRequests(approvals=[call]))
        await store.save(conversation, scope="user-1")
        kept = await store.load(conversation.conversation_id, scope="user-1")
        assert kept == conversation

    async def test_an_unknown_conversation_is_none(self, store: ConversationStore) -> None:
        """Nothing is made by looking."""
        assert await store.load("nobody") is None
        assert await store.load_entries("nobody") is None
        assert await store.read_record("nobody") is None
        await store.delete("nobody")

    async def test_a_save_stores_only_what_is_new(self, store: ConversationStore) -> None:
        """Each save returns the entries that it added, linked in order; a repeated save adds none."""
        conversation = new("a", "b")
        first = await store.save(conversation)
        assert [entry.parent_id for entry in first] == [None, first[0].id]
        assert await store.save(conversation) == []
        conversation.messages += said("c")
        (third,) = await store.save(conversation)
        assert third.parent_id == first[1].id
        assert await store.load_entries(conversation.conversation_id) == [*first, third]

    async def test_a_limit_loads_the_last_messages(self, store: ConversationStore) -> None:
        """A window ends with the newest message, and saving it appends to the whole."""
        conversation = new("a", "b", "c", "d")
        await store.save(conversation)
        window = await store.load(conversation.conversation_id, limit=2)
        assert window is not None
        assert window.messages == conversation.messages[2:]
        window.messages += said("e")
        await store.save(window)
        whole = await store.load(conversation.conversation_id)
        assert whole is not None
        assert len(whole.messages) == 5
        nothing = await store.load(conversation.conversation_id, limit=0)
        assert nothing is not None
        assert nothing.messages == []
        with pytest.raises(UserError):
            await store.load(conversation.conversation_id, limit=-1)

    async def test_only_the_newest_copy_can_be_saved(self, store: ConversationStore) -> None:
        """A copy that was loaded before somebody else's save is refused, and leaves nothing behind."""
        conversation = new("a", "b")
        await store.save(conversation)
        mine, theirs = [await store.load(conversation.conversation_id) for _ in range(2)]
        assert mine is not None
        assert theirs is not None
        theirs.messages += said("theirs")
        mine.messages += said("mine")
        await store.save(theirs)
        with pytest.raises(ConversationConflict):
            await store.save(mine)
        with pytest.raises(ConversationConflict):
            await store.save(new("other", id=conversation.conversation_id))
        kept = await store.load(conversation.conversation_id)
        assert kept is not None
        assert kept.messages == theirs.messages

    async def test_one_of_many_savers_wins(self, store: ConversationStore) -> None:
        """Of eight who make the same conversation at once, one does."""
        name = str(uuid4())
        results = await asyncio.gather(
            *(store.save(new(f"from {n}", id=name)) for n in range(8)), return_exceptions=True
        )
        assert sum(not isinstance(result, BaseException) for result in results) == 1
        assert all(isinstance(result, list | ConversationConflict) for result in results)

    async def test_a_rewritten_history_branches_off(self, store: ConversationStore) -> None:
        """The old path is kept as a branch, and can be gone back to."""
        conversation = new("a", "b", "c")
        entries = await store.save(conversation)
        conversation.messages[2:] = said("rewritten")
        (rewritten,) = await store.save(conversation)
        assert rewritten.parent_id == entries[1].id
        record = await store.read_record(conversation.conversation_id)
        assert record is not None
        assert record.branches == [entries[2].id]
        assert await store.read_history(entries[2].id) == entries

    async def test_a_fork_shares_its_past(self, store: ConversationStore) -> None:
        """A fork goes on alone; deleting the original keeps what the fork still reaches, and only that."""
        original = new("a", "b", "c", "d")
        entries = await store.save(original)
        fork = await store.fork(original.conversation_id, from_entry=entries[1].id)
        assert fork.messages == original.messages[:2]
        fork.messages += said("e")
        await store.save(fork)
        await store.delete(original.conversation_id)
        assert await store.load(original.conversation_id) is None
        kept = await store.load(fork.conversation_id)
        assert kept is not None
        assert len(kept.messages) == 3
        with pytest.raises(LookupError):
            await store.read_entry(entries[3].id)
        await store.delete(fork.conversation_id)
        for entry in entries:
            with pytest.raises(LookupError):
                await store.read_entry(entry.id)

    async def test_a_deleted_conversation_can_be_made_again(self, store: ConversationStore) -> None:
        """A copy from before the delete can't be saved over the new one."""
        conversation = new("a")
        await store.save(conversation)
        old = await store.load(conversation.conversation_id)
        assert old is not None
        await store.delete(conversation.conversation_id)
        await store.save(new("b", id=conversation.conversation_id))
        with pytest.raises(ConversationConflict):
            await store.save(old)
        with pytest.raises(ConversationConflict):
            await store.delete_record(conversation.conversation_id, expected_revision="another")

    async def test_a_record_can_only_point_at_what_is_there(self, store: ConversationStore) -> None:
        """A head that nobody has is a conflict, and makes no record."""
        record = ConversationRecord(conversation_id=str(uuid4()), head_id="gone")
        with pytest.raises(ConversationConflict):
            await store.write_record(record, expected_revision=None)
        assert await store.read_record(record.conversation_id) is None

    async def test_records_are_listed_newest_first(self, store: ConversationStore) -> None:
        """By scope, with a limit; a scope keeps others' conversations out of reach."""
        scope = str(uuid4())
        names = [f"{scope}-{n}" for n in range(3)]
        for name in names:
            await store.save(new("a", id=name), scope=scope)
        listed = await store.list_conversations(scope=scope, limit=2)
        assert [record.conversation_id for record in listed] == [names[2], names[1]]
        assert await store.load(names[0], scope="another") is None
        await store.delete(names[0], scope="another")
        assert await store.load(names[0], scope=scope) is not None

    async def test_a_record_comes_back_whole(self, store: ConversationStore) -> None:
        """Every field of a record is equal after it was read."""
        record = ConversationRecord(
            conversation_id=str(uuid4()), head_id=None, scope="s", forked_from="f", forked_at="e"
        )
        await store.write_record(record, expected_revision=None)
        assert await store.read_record(record.conversation_id) == record

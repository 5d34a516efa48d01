"""Pydantic AI's conversations, kept where a failover can't lose them.

    store = OutliveConversationStore(db)
    conversation = await store.load("trip-7") or Conversation(conversation_id="trip-7")
    result = await agent.run("Book a window seat.", conversation=conversation)
    await store.save(result)

A save is one transaction, and is retried for you when the primary dies: it is applied once, because each save has a
revision of its own. Two programs that save the same conversation get `ConversationConflict`, as with any store of
Pydantic AI. `delete` erases the messages that no other conversation shares.

Source: Pydantic AI documentation, "Persistence"; `pydantic_ai.conversation_store.ConversationStore`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessagesTypeAdapter

from outlive.client.cluster import Cluster
from outlive.errors import VersionConflictError
from outlive.stores import AgentState
from outlive.stores.histories import Entry, History

_OWN_COLUMNS = frozenset({"conversation_id", "head_id", "scope", "branches", "revision", "updated_at"})
_RECORD: TypeAdapter[ConversationRecord] = TypeAdapter(ConversationRecord)


class OutliveConversationStore(ConversationStore):
    """A conversation store on an Outlive cluster; the schema is made by `outlive migrate`."""

    def __init__(self, db: Cluster | AgentState) -> None:
        state = db if isinstance(db, AgentState) else AgentState(db)
        self._histories = state.histories

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record for a conversation, or None; shows every acknowledged save."""
        history = await self._histories.read(conversation_id)
        return None if history is None else _record(history)

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """The records that were saved last, the newest first; at most 1,000 without a limit."""
        return [_record(history) for history in await self._histories.page(scope=scope, limit=limit)]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Keep a record and the entries it adds, all or nothing; it is replicated when this returns.

        Raises:
            ConversationConflict: the stored revision is another one, or the record points at an entry that is gone.
            outlive.UnstorableError: a message can't be kept as it is.
        """
        entries = [Entry(entry.id, entry.parent_id, _dumped(entry)) for entry in new_entries]
        try:
            await self._histories.write(_history(record), entries, expected=expected_revision)
        except VersionConflictError as error:
            raise ConversationConflict(record.conversation_id) from error

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete a record and the entries that no remaining one reaches.

        Raises:
            ConversationConflict: there is no record with this revision (any more).
        """
        try:
            await self._histories.delete(conversation_id, expected=expected_revision)
        except VersionConflictError as error:
            raise ConversationConflict(conversation_id) from error

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """The entry with this id.

        Raises:
            LookupError: there is none.
        """
        (entry,) = await self.read_history(entry_id, limit=1)
        return entry

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """The entries up to `head_id`, in order, or the last `limit` of them, in one round trip.

        Raises:
            LookupError: there is no such entry.
        """
        if head_id is None or limit == 0:
            return []
        path = await self._histories.path(head_id, limit=limit)
        if not path:
            raise LookupError(f"there is no entry {head_id!r}")
        messages = ModelMessagesTypeAdapter.validate_python([entry.content for entry in path])
        return [
            ConversationEntry(id=entry.id, parent_id=entry.parent, message=message)
            for entry, message in zip(path, messages, strict=True)
        ]


def _dumped(entry: ConversationEntry) -> Any:
    if entry.kind != "message":
        raise UserError(f"an entry of kind {entry.kind!r} is unknown to this version of Outlive")
    return ModelMessagesTypeAdapter.dump_python([entry.message], mode="json")[0]


def _history(record: ConversationRecord) -> History:
    return History(
        id=record.conversation_id,
        revision=record.revision,
        head=record.head_id,
        record=_RECORD.dump_python(record, mode="json", exclude=set(_OWN_COLUMNS)),
        updated_at=record.updated_at,
        scope=record.scope,
        branches=tuple(record.branches),
    )


def _record(history: History) -> ConversationRecord:
    columns = {
        "conversation_id": history.id,
        "head_id": history.head,
        "scope": history.scope,
        "branches": list(history.branches),
        "revision": history.revision,
        "updated_at": history.updated_at,
    }
    return _RECORD.validate_python({**history.record, **columns})

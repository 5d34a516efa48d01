"""Conversations without asyncio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from outlive.stores.conversation import Conversation
from outlive.stores.conversations import Conversations
from outlive.sync import Block, Face, Portal, Seen, iterated, like, through


class SyncConversation(Block[Conversation]):
    """`outlive.stores.Conversation` for programs without asyncio: its calls take and return the same.

    As a context manager it releases the lease at the end. What `tool_call` is given runs in the calling thread.
    """

    id = Seen(Conversation, lambda held: held.id)
    worker = Seen(Conversation, lambda held: held.worker)
    lease_token = Seen(Conversation, lambda held: held.lease_token)
    metadata = Seen(Conversation, lambda held: held.metadata)
    is_complete = Seen(Conversation, lambda held: held.is_complete)
    turns = Seen(Conversation, lambda held: held.turns)
    last_checkpoint = Seen(Conversation, lambda held: held.last_checkpoint)
    tool_calls = Seen(Conversation, lambda held: held.tool_calls)

    append = through(Conversation.append)
    append_all = through(Conversation.append_all)
    tool_call = through(Conversation.tool_call, asks=("fn", "cost", "effects"))
    settle_tool_call = through(Conversation.settle_tool_call)
    checkpoint = through(Conversation.checkpoint)
    renew = through(Conversation.renew)
    complete = through(Conversation.complete)
    release = through(Conversation.release)

    @contextmanager
    @like(Conversation.keep_alive, "Iterator[Self]")
    def keep_alive(self) -> Iterator[Self]:  # noqa: D102 - what the asynchronous one says
        with Block(self._portal, self._inner.keep_alive()):
            yield self


def _if_any(portal: Portal, held: Conversation | None) -> SyncConversation | None:
    return None if held is None else SyncConversation(portal, held)


class SyncConversations(Face[Conversations]):
    """`outlive.stores.Conversations` for programs without asyncio: its calls take and return the same."""

    open = through(Conversations.open, SyncConversation)
    claim = through(Conversations.claim, _if_any)
    create = through(Conversations.create)
    load = through(Conversations.load)
    count_open = through(Conversations.count_open)
    list = through(Conversations.list)
    search = through(Conversations.search)
    set_metadata = through(Conversations.set_metadata)
    merge_metadata = through(Conversations.merge_metadata)
    fork = through(Conversations.fork)
    export = iterated(Conversations.export)
    import_ = through(Conversations.import_, asks=("lines",))
    erase = through(Conversations.erase)
    retention = through(Conversations.retention, asks=("on_progress",))

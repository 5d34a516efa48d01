"""A worker's hold on a conversation: what goes with every write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import asyncpg

from outlive import system
from outlive.stores.queries import queries
from outlive.stores.statements import Statements


@dataclass(slots=True)
class Hold:
    """The lease that a worker was given on a conversation.

    `written_at` is when the last write that the database took was sent (monotonic seconds): the lease has been
    renewed at that moment or later.
    """

    statements: Statements
    conversation: str
    worker: str
    token: int
    lease_s: float
    max_value_bytes: int
    written_at: float = field(default_factory=system.monotonic)

    @property
    def may_have_lapsed(self) -> bool:
        """Whether the lease may have run out: this process was paused, or an answer came late."""
        return system.monotonic() - self.written_at >= self.lease_s

    async def write(self, query: str, *args: Any) -> asyncpg.Record:
        """Apply a named query whose first parameters are the conversation, the token and the lease in seconds."""
        sent_at = system.monotonic()
        sql = queries("conversations")[query]
        row = await self.statements.write(sql, self.conversation, self.token, self.lease_s, *args)
        self.written_at = sent_at
        return row

    async def end(self, *, complete: bool) -> None:
        """Give the lease back."""
        sql = queries("conversations")["end_lease"]
        await self.statements.write(sql, self.conversation, self.token, complete)

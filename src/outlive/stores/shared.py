"""Conversations without a lease, for frameworks whose sessions are shared: writes are ordered by the row's lock.

Nothing fences a slow writer off here, as the lease does: two programs that go on with one conversation mix their
turns. While a worker holds the conversation's lease, writes of this kind are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from outlive import system
from outlive.model.identifiers import uuid7
from outlive.stores.encoding import checked_name, decode
from outlive.stores.queries import queries
from outlive.stores.records import NewTurn
from outlive.stores.statements import Statements
from outlive.stores.turns import TurnColumns

_ALL = 2**31 - 1


class SharedConversations:
    """The conversations of one database, by their ids; one that isn't there is made by the first write."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._max_value_bytes = max_value_bytes

    async def append(self, id: str, turns: Sequence[NewTurn]) -> None:  # noqa: A002 - the word of the field
        """Add turns in order, all or none; those that are there with their ids stay where they are.

        Raises:
            KeyReusedError: an id is there with another role or content.
            LeaseLostError: a worker holds the conversation.
            UnstorableError: a turn can't be kept as it is.
        """
        if turns:
            name, columns = checked_name(id, "a conversation's id"), TurnColumns.of(turns, self._max_value_bytes)
            sql = queries("shared")["append"]
            await self._statements.write(sql, name, columns.ids, columns.roles, columns.contents)

    async def contents(self, id: str, *, last: int | None = None) -> list[Any]:  # noqa: A002
        """What the `last` turns say, or all, in order; shows every acknowledged write. Empty if there is nothing."""
        limit = _ALL if last is None else min(last, _ALL)
        rows = await self._statements.read_all(queries("shared")["last"], id, limit)
        return [decode(row["content"]) for row in rows]

    async def take_last(self, id: str) -> tuple[Any, ...]:  # noqa: A002
        """Take the last turn back; what it said, or nothing if there is none. A retry takes no second one."""
        return await self._take(id, -1, 1)

    async def clear(self, id: str) -> tuple[Any, ...]:  # noqa: A002
        """Take all turns back; what they said."""
        return await self._take(id, 0, _ALL)

    async def _take(self, id: str, first: int, count: int) -> tuple[Any, ...]:  # noqa: A002
        name, attempt = checked_name(id, "a conversation's id"), new_attempt()
        sql = queries("shared")["take_back"]
        row = await self._statements.write(sql, name, attempt, first, count, [], [], [])
        return tuple(decode(row["taken"]))


def new_attempt() -> UUID:
    """What tells a retry of one call from another call."""
    return uuid7(int(system.now_utc().timestamp() * 1000), system.chance.getrandbits(74))

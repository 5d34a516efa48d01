"""Histories kept as a tree of entries: an entry is written once, whatever rewrites and forks come to share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from outlive.stores.encoding import checked_name, decode, encode
from outlive.stores.queries import queries
from outlive.stores.statements import Statements

_WHOLE = 2**31 - 1
MAX_PAGE = 1000
"""The most histories that one listing brings, unless asked for more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One link: `parent` is the id of the entry before it, None for the first; `content` any value of JSON."""

    id: str
    parent: str | None
    content: Any


@dataclass(frozen=True, slots=True)
class History:
    """What is kept of a history besides its entries.

    `head` is the id of its last entry, `branches` those of paths that were left and are kept; `revision` is made by
    the writer, another one for each write; `record` is any value of JSON; `updated_at` is aware.
    """

    id: str
    revision: str
    head: str | None
    record: Any
    updated_at: datetime
    scope: str | None = None
    branches: tuple[str, ...] = ()


class Histories:
    """The histories of one database."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._max_value_bytes = max_value_bytes

    async def write(self, history: History, entries: Sequence[Entry] = (), *, expected: str | None) -> None:
        """Replace the history whose revision is `expected`, or make it if that is None, and add `entries`, in order.

        All of it or nothing; a write that is said twice, with the same revision, is done once.

        Raises:
            VersionConflictError: its revision is another one, or an entry that it points at is gone.
            KeyReusedError: an entry is there with other content.
            UnstorableError: something of it can't be kept as it is.
        """
        checked_name(history.id, "a history's id")
        record = encode(history.record, f"the record of the history {history.id!r}", self._max_value_bytes)
        await self._statements.write(
            queries("histories")["write"],
            history.id,
            expected,
            checked_name(history.revision, "a revision"),
            None if history.scope is None else checked_name(history.scope, "a scope"),
            history.head,
            list(history.branches),
            record,
            history.updated_at,
            [checked_name(entry.id, "an entry's id") for entry in entries],
            [entry.parent for entry in entries],
            [encode(entry.content, f"the entry {entry.id!r}", self._max_value_bytes) for entry in entries],
        )

    async def read(self, id: str) -> History | None:  # noqa: A002 - the word of the field
        """The history, or None; shows every acknowledged write."""
        row = await self._statements.read(queries("histories")["read"], id)
        return None if row is None else _history(row)

    async def page(self, *, scope: str | None = None, limit: int | None = None) -> tuple[History, ...]:
        """The histories of a scope, or all, that were saved last, the newest first; at most 1,000 without a limit."""
        sql = queries("histories")["page"]
        rows = await self._statements.read_all(sql, scope, MAX_PAGE if limit is None else min(limit, _WHOLE))
        return tuple(_history(row) for row in rows)

    async def path(self, head: str, *, limit: int | None = None) -> tuple[Entry, ...]:
        """The entries from the first to `head`, or the last `limit` of them; empty if there is no such entry."""
        if limit == 0:
            return ()
        sql = queries("histories")["path"]
        rows = await self._statements.read_all(sql, head, _WHOLE if limit is None else min(limit, _WHOLE))
        return tuple(Entry(row["id"], row["parent"], decode(row["content"])) for row in rows)

    async def delete(self, id: str, *, expected: str) -> None:  # noqa: A002
        """Delete the history whose revision is `expected`, and the entries that no other history reaches.

        Raises:
            VersionConflictError: there is none with this revision. After a lost answer that may be this call's own
                doing: read it again.
        """
        await self._statements.write(queries("histories")["delete"], id, expected)


def _history(row: Mapping[str, Any]) -> History:
    return History(
        id=row["id"],
        revision=row["revision"],
        head=row["head"],
        record=decode(row["record"]),
        updated_at=row["updated_at"],
        scope=row["scope"],
        branches=tuple(row["branches"]),
    )

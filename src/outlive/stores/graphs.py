"""Checkpoints of graphs and what their tasks wrote: each call is one round trip, and brings or fetches what is new.

What is kept here is shapes and objects (see `plan/sharing.py`); how values become these is the adapter's part.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from typing import Any
from uuid import UUID

import asyncpg

from outlive.errors import UnstorableError
from outlive.stores.encoding import checked_name
from outlive.stores.objects import Contents, Parcel, array
from outlive.stores.plan.sharing import dumps, named
from outlive.stores.queries import queries
from outlive.stores.statements import Statements

MAX_NAMESPACE_LENGTH = 2000
MAX_PAGE = 50
"""The most checkpoints that one round trip of a listing brings: each may come with all of its state."""

VALUES = "values"
"""Where a checkpoint's body has the shapes of its values."""

ONE_MESSAGE_BYTES = 256 * 1024
"""What a parcel may have to travel as text in one message; a larger one goes in binary, in three."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a checkpoint belongs."""

    thread: str
    ns: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """What a task wrote to a channel; `place` tells its writes apart."""

    task: str
    channel: str
    shape: Any
    place: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """A checkpoint as it is kept; `body` holds the shapes of its values, at `VALUES`."""

    place: Place
    id: str
    parent: str | None
    body: dict[str, Any]
    metadata: dict[str, Any]
    scope: int = 0
    writes: list[Write] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """Checkpoints in the order asked for, and the objects that their shapes name."""

    checkpoints: list[Stored]
    contents: Contents


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listing is to bring; what is None is not asked for."""

    thread: str | None = None
    ns: str | None = None
    id: str | None = None
    before: str | None = None
    filter: Mapping[str, Any] | None = None


class Graphs:
    """The checkpoints of the graphs in one database."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self.max_value_bytes = max_value_bytes

    async def put(self, checkpoint: Stored, metadata: str, parcel: Parcel) -> None:
        """Keep a checkpoint; `metadata` is its JSON.

        Raises:
            ForgottenObjectsError: something that the parcel believes to be stored is not.
            UnstorableError: a name can't be kept.
        """
        place, refs = checkpoint.place, {name for shape in checkpoint.body[VALUES].values() for name in named(shape)}
        await self._write(
            "put",
            parcel,
            *_checked(place, checkpoint.id),
            checkpoint.parent,
            self._text(checkpoint.body, f"the checkpoint {checkpoint.id!r}"),
            metadata,
            list(refs),
        )

    async def put_writes(
        self, place: Place, checkpoint: str, path: str, writes: Sequence[Write], parcel: Parcel, *, replace: bool
    ) -> None:
        """Keep what one task wrote after a checkpoint; what is there at the same place stays, or is replaced.

        Raises:
            ForgottenObjectsError: something that the parcel believes to be stored is not.
            UnstorableError: a name can't be kept.
        """
        await self._write(
            "put_writes",
            parcel,
            *_checked(place, checkpoint),
            _bounded(writes[0].task, "a task's id"),
            _bounded(path, "a task's path"),
            replace,
            [write.place for write in writes],
            [_bounded(write.channel, "a channel's name") for write in writes],
            [self._text(write.shape, f"what was written to {write.channel!r}") for write in writes],
            [array(list(named(write.shape))) for write in writes],
        )

    async def read(self, place: Place, id: str | None, held: Sequence[UUID] = ()) -> Found:  # noqa: A002
        """One checkpoint or the latest of a namespace, none if there is none; without the objects that are `held`."""
        sql = queries("graphs")["read"]
        return _found(await self._statements.read_all(sql, place.thread, place.ns, id, list(held)))

    async def page(self, wanted: Wanted, after: Stored | None, limit: int) -> Found:
        """The checkpoints that follow `after`, the newest first."""
        asked = None if wanted.filter is None else dumps(wanted.filter)
        begin = (None, None, None) if after is None else (after.id, after.place.ns, after.scope)
        sql, bound = queries("graphs")["page"], min(limit, MAX_PAGE)
        rows = await self._statements.read_all(
            sql, wanted.thread, wanted.ns, wanted.id, wanted.before, asked, *begin, bound
        )
        return _found(rows)

    async def line(
        self,
        place: Place,
        id: str,  # noqa: A002
        channels: Sequence[str],
    ) -> list[Stored]:
        """The ancestors of a checkpoint, the nearest first, back to where each channel has a value, with their writes.

        The objects that they name are fetched with `objects`.
        """
        rows = await self._statements.read_all(queries("graphs")["line"], place.thread, place.ns, id, list(channels))
        line: list[Stored] = []
        for row in rows:
            if not line or line[-1].id != row["id"]:
                line.append(Stored(place, row["id"], None, json.loads(row["body"]), {}))
            if row["task"] is not None:
                line[-1].writes.append(Write(row["task"], row["channel"], json.loads(row["value"])))
        return line

    async def objects(self, thread: str, names: Iterable[UUID]) -> Contents:
        """The objects of a thread that these consist of."""
        contents = Contents()
        contents.take(await self._statements.read_all(queries("graphs")["objects"], thread, list(names), []))
        return contents

    async def delete_thread(self, thread: str) -> None:
        """Delete all that a thread has; nothing to do if there is none."""
        await self._statements.apply(queries("graphs")["delete_thread"], thread)

    async def delete_runs(self, runs: Sequence[str]) -> None:
        """Delete the checkpoints of runs, and what was written after them.

        Raises:
            StateError: a checkpoint that stays is built up from their writes; nothing is deleted.
        """
        await self._statements.apply(queries("graphs")["delete_runs"], list(runs))

    async def copy_thread(self, source: str, target: str) -> None:
        """Copy all that a thread has; what the target has stays."""
        await self._statements.apply(queries("graphs")["copy_thread"], source, checked_name(target, "a thread's id"))

    async def prune(self, thread: str) -> None:
        """Keep the latest checkpoint of each namespace, and those that it is built up from."""
        await self._statements.apply(queries("graphs")["prune"], thread)

    async def _write(self, query: str, parcel: Parcel, *args: Any) -> None:
        sql, everything = queries("graphs")[query], (*args, *parcel.columns())
        if parcel.size_bytes > ONE_MESSAGE_BYTES:
            await self._statements.write(sql, *everything)
        else:
            await self._statements.apply(sql, *everything)

    def _text(self, value: object, what: str) -> str:
        try:
            text = dumps(value)
        except (TypeError, ValueError) as error:
            raise UnstorableError(f"{what} can't be stored as JSON: {error}") from None
        if "\\u0000" in text or "\\ud" in text:
            checked_text(json.loads(text), what)
        if len(text) > self.max_value_bytes:
            raise UnstorableError(f"{what} has {len(text):,} bytes, the limit is {self.max_value_bytes:,} bytes")
        return text


def checked_text(value: object, what: str) -> None:
    """Refuse a NUL, or half of a surrogate pair, in any string of a value.

    Raises:
        UnstorableError: there is one.
    """
    match value:
        case str():
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise UnstorableError(f"{what} can't be stored: {value[:50]!r} holds a NUL or half of a surrogate pair")
        case dict():
            for key, inner in value.items():
                checked_text(key, what)
                checked_text(inner, what)
        case list():
            for inner in value:
                checked_text(inner, what)
        case _:
            return


def _checked(place: Place, checkpoint: str) -> tuple[str, str, str]:
    return (
        checked_name(place.thread, "a thread's id"),
        _bounded(place.ns, "a checkpoint's namespace"),
        checked_name(checkpoint, "a checkpoint's id"),
    )


def _bounded(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise UnstorableError(f"{what} must be a string, not {type(text).__name__}")
    if len(text) > MAX_NAMESPACE_LENGTH:
        raise UnstorableError(f"{what} has {len(text):,} characters, the limit is {MAX_NAMESPACE_LENGTH:,}")
    checked_text(text, what)
    return text


def _found(rows: Sequence[asyncpg.Record]) -> Found:
    """Sort the two kinds of rows: checkpoints, the newest first, and objects."""
    heads = [row[0] for row in rows if row[0] is not None]
    contents = Contents()
    contents.take(rows)
    return Found(sorted(map(_stored, heads), key=_age, reverse=True), contents)


def _stored(head: str) -> Stored:
    scope, thread, ns, id_, parent, body, metadata, writes = json.loads(head)
    return Stored(Place(thread, ns), id_, parent, body, metadata, scope, list(starmap(Write, writes or ())))


def _age(stored: Stored) -> tuple[str, str, int]:
    return stored.id, stored.place.ns, stored.scope

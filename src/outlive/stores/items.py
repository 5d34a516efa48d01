"""Items by namespace and key: what agents remember beyond one conversation, for frameworks that have such a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from outlive.client.transaction import Transaction
from outlive.errors import SchemaError
from outlive.stores import vectors
from outlive.stores.encoding import checked_name, decode, encode_object
from outlive.stores.failures import OtherSchemaError, typed_refusals
from outlive.stores.queries import queries
from outlive.stores.statements import Statements

Path = tuple[str, ...]
Name = tuple[Path, str]
SWEEPS = 1000
"""The most batches of a thousand items that one sweep deletes."""


@dataclass(frozen=True, slots=True)
class Item:
    """An item; `score` says how near it is to what was sought, the most 1, None if it wasn't sought by nearness."""

    ns: Path
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    expires: bool
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """An item to be put, or deleted where `value` is None; it lives for so many minutes, for ever if that is None.

    `embeddings` are what it is found by: as many as it has texts, none where it is found by name only.
    """

    ns: Path
    key: str
    value: Mapping[str, Any] | None
    minutes: float | None = None
    embeddings: Sequence[Sequence[float]] = ()


class Items:
    """The items of one database."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._max_value_bytes = max_value_bytes

    async def put(self, puts: Sequence[Put], *, embedded: bool = False) -> None:
        """Put and delete items, all or none; the last one of a name counts. `embedded` keeps their embeddings too.

        Raises:
            UnstorableError: a value is no dictionary of JSON, or too large.
            SchemaError: they are to be found by embeddings, and there is no room for these.
        """
        last = list({(put.ns, put.key): put for put in puts}.values())
        names = [_path(put.ns) for put in last], [checked_name(put.key, "an item's key") for put in last]
        values = [None if put.value is None else self._text(put) for put in last]
        columns = (*names, values, [put.minutes for put in last])
        if embedded:
            with _room():
                await self._statements.db.run(
                _put_embedded, columns, last, durability=self._statements.durability, isolation="read_committed",
                idempotent=True, timeout=self._statements.timeout_s,
            )  # fmt: skip
        else:
            await self._statements.apply(queries("items")["put"], *columns)

    def _text(self, put: Put) -> str:
        return encode_object(put.value, f"the item {put.key!r} of {put.ns}", self._max_value_bytes)

    def _sought(self, filter_: Mapping[str, Any]) -> str:
        return encode_object(filter_, "the filter", self._max_value_bytes)

    async def get(self, names: Sequence[Name]) -> dict[Name, Item]:
        """The items that there are of these; shows every acknowledged write."""
        columns = [_path(ns) for ns, _ in names], [key for _, key in names]
        return {(item.ns, item.key): item for item in await self._read("get", *columns)}

    async def search(self, prefix: Path, filter_: Mapping[str, Any], offset: int, limit: int) -> list[Item]:
        """The items under a path that match, those that were changed last first."""
        return await self._read("search", list(prefix), self._sought(filter_), offset, limit)

    async def nearest(
        self, prefix: Path, filter_: Mapping[str, Any], offset: int, limit: int, embedding: Sequence[float]
    ) -> list[Item]:
        """The items under a path that match, the nearest first, then those that have no embedding.

        Raises:
            SchemaError: no embeddings are kept in this database.
        """
        with _room():
            return await self._read("nearest", list(prefix), self._sought(filter_), offset, limit, _vector(embedding))

    async def namespaces(
        self, conditions: Sequence[tuple[Path, bool]], depth: int | None, offset: int, limit: int
    ) -> list[Path]:
        """The namespaces cut to a depth, in order, that begin with paths, or end with them where that is said."""
        columns = [_path(path) for path, _ in conditions], [is_suffix for _, is_suffix in conditions]
        rows = await self._statements.read_all(queries("items")["namespaces"], *columns, depth, offset, limit)
        return [tuple(row["ns"]) for row in rows]

    async def refresh(self, names: Sequence[Name]) -> None:
        """Let items that were read live as long again."""
        await self._statements.apply(
            queries("items")["refresh"], [_path(ns) for ns, _ in names], [key for _, key in names]
        )

    async def sweep(self) -> int:
        """Delete what has expired, a thousand at once; how many there were. Nobody sees it any more, swept or not."""
        total = 0
        for _ in range(SWEEPS):
            gone = int((await self._statements.write(queries("items")["sweep"]))["gone"])
            total += gone
            if not gone:
                break
        return total

    async def enable_vectors(self, dimensions: int) -> None:
        """Make room for embeddings of so many numbers; to be called once, by the role that migrated.

        Raises:
            SchemaError: there is no pgvector, it may not be brought into the database, or embeddings of another
                length are kept.
        """
        await vectors.enable(self._statements, dimensions, "item_vectors")

    async def _read(self, query: str, *args: Any) -> list[Item]:
        rows = await self._statements.read_all(queries("items")[query], *args)
        return [_item(row) for row in rows]


@contextmanager
def _room() -> Iterator[None]:
    """Say how room for embeddings is made, where there is none."""
    try:
        with typed_refusals():
            yield
    except OtherSchemaError:
        raise
    except SchemaError as error:
        hint = "Call `setup()` of the store (`enable_vectors` of the items) once, as the role that migrated."
        raise SchemaError("no embeddings of items are kept in this database", hint=hint) from error


async def _put_embedded(tx: Transaction, columns: tuple[Any, ...], puts: Sequence[Put]) -> None:
    await tx.execute(queries("items")["put"], *columns)
    kept = [(put, place, each) for put in puts if put.value is not None for place, each in enumerate(put.embeddings)]
    await tx.execute(
        queries("items")["embed"],
        columns[0],
        columns[1],
        [_path(put.ns) for put, _, _ in kept],
        [put.key for put, _, _ in kept],
        [place for _, place, _ in kept],
        [_vector(each) for _, _, each in kept],
    )


def _item(row: asyncpg.Record) -> Item:
    times = row["created_at"], row["updated_at"]
    return Item(tuple(row["ns"]), row["key"], decode(row["value"]), *times, row["expires"], row["score"])


def _path(path: Path) -> str:
    """A path as the text of an array, for a column whose arrays are not of one length."""
    checked = [checked_name(label, "a label of a namespace") for label in path]
    escaped = [label.replace("\\", "\\\\").replace('"', '\\"') for label in checked]
    return "{" + ",".join(f'"{label}"' for label in escaped) + "}"


def _vector(embedding: Sequence[float]) -> str:
    return f"[{','.join(repr(float(number)) for number in embedding)}]"

"""Retrieved context: documents by their source, found again by nearness or by words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from outlive.client.options import positive
from outlive.errors import SchemaError, UnstorableError
from outlive.stores import vectors
from outlive.stores.ages import checked_age
from outlive.stores.encoding import checked_name, decode, digest, encode, encode_object
from outlive.stores.failures import OtherSchemaError
from outlive.stores.queries import queries
from outlive.stores.statements import Statements

TOP = 10
"""How many documents a search brings unless told otherwise."""

EXPIRE_BATCH = 1_000
"""How many documents one transaction of `expire` deletes."""

LIMIT = 10_000
"""How many documents of one source are read at most unless told otherwise."""


@dataclass(frozen=True, slots=True)
class NewDocument:
    """Content to keep; `embedding` is the caller's model's, of as many numbers as `enable_vectors` was told."""

    content: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    embedding: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """Content that is kept, under one of its sources. `hash` is the SHA-256 of the content's UTF-8."""

    source: str
    hash: bytes
    content: str
    metadata: Mapping[str, Any]
    retrieved_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """A document that a search found.

    `score` is the cosine distance (0 is the same direction, 2 the opposite one) or, of a search by words, a rank that
    grows with the match.
    """

    document: Document
    score: float


class Context:
    """The retrieved context of one database."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._max_value_bytes = max_value_bytes

    async def enable_vectors(self, dimensions: int) -> None:
        """Make room for embeddings of so many dimensions; doing it again changes nothing.

        To be called once, by the role that migrated.

        Raises:
            SchemaError: there is no pgvector, it may not be brought into the database, or embeddings of another
                length are kept.
        """
        await vectors.enable(self._statements, dimensions)

    async def add(self, source: str, documents: Iterable[str | NewDocument]) -> None:
        """Keep what was retrieved from `source`, in one transaction; the same content again is kept once.

        Raises:
            SchemaError: there are embeddings among them, and `enable_vectors` was not called.
            UnstorableError: an embedding has another length, or something can't be kept as it is.
        """
        if isinstance(documents, str):
            raise UnstorableError("several documents were expected, not one string", hint="Say [content].")
        listed = [NewDocument(each) if isinstance(each, str) else each for each in documents]
        if not listed:
            return
        columns = [checked_name(source, "a source"), *self._columns(listed)]
        if all(document.embedding is None for document in listed):
            await self._statements.write(queries("context")["add"], *columns)
            return
        embeddings = [None if document.embedding is None else vector_text(document.embedding) for document in listed]
        with vector_refusals():
            await self._statements.write(queries("context")["add_embedded"], *columns, embeddings)

    async def get(self, source: str, *, limit: int = LIMIT) -> tuple[Document, ...]:
        """The documents of a source, those retrieved last first."""
        rows = await self._statements.read_all(queries("context")["get"], source, limit)
        return tuple(_document(row) for row in rows)

    async def delete(self, source: str) -> int:
        """Delete the documents of a source, and contents that no other source has; returns how many there were."""
        return int((await self._statements.write(queries("context")["delete"], source))["deleted"])

    async def search(
        self,
        embedding: Sequence[float],
        k: int = TOP,
        *,
        source: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> tuple[Found, ...]:
        """The `k` documents that are nearest by cosine distance, of a source and with this metadata in them.

        Raises:
            SchemaError: `enable_vectors` was not called.
            UnstorableError: the embedding has another length than those that are kept.
        """
        with vector_refusals():
            return await self._search("search", vector_text(embedding), k, source, metadata)

    async def search_text(
        self, words: str, k: int = TOP, *, source: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> tuple[Found, ...]:
        """The `k` documents that have these words, best first; `-word` and `"a phrase"` mean what they do on the web.

        It needs no extension, and knows no language: words are found as they are written.
        """
        return await self._search("search_text", words, k, source, metadata)

    async def expire(self, keep: timedelta, *, batch: int = EXPIRE_BATCH) -> int:
        """Delete what was retrieved longer ago than `keep`, a batch a transaction; returns how many documents."""
        keep_s, deleted = checked_age("keep", keep).total_seconds(), 0
        while True:
            row = await self._statements.write(queries("context")["expire"], keep_s, int(positive("batch", batch)))
            deleted += int(row["deleted"])
            if row["deleted"] < batch:
                return deleted

    async def _search(
        self, query: str, sought: str, k: int, source: str | None, metadata: Mapping[str, Any] | None
    ) -> tuple[Found, ...]:
        contains = encode_object(metadata, "the metadata to search for", self._max_value_bytes)
        sql = queries("context")[query]
        rows = await self._statements.read_all(sql, sought, int(positive("k", k)), source, contains)
        return tuple(Found(_document(row), row["score"]) for row in rows)

    def _columns(self, documents: list[NewDocument]) -> tuple[list[bytes], list[str], list[str]]:
        contents = [document.content for document in documents]
        for content in contents:
            encode(content, "a document's content", self._max_value_bytes)
        metadata = [encode_object(d.metadata, "a document's metadata", self._max_value_bytes) for d in documents]
        return [digest(content) for content in contents], contents, metadata


def vector_text(embedding: Sequence[float]) -> str:
    """An embedding as pgvector reads it.

    Raises:
        UnstorableError: it has no direction: it is empty, all zeros, or holds something that is no finite number.
    """
    numbers = [float(number) for number in embedding]
    if not all(map(math.isfinite, numbers)) or not any(numbers):
        raise UnstorableError("an embedding must hold finite numbers, one of them other than zero")
    return f"[{','.join(map(repr, numbers))}]"


@contextmanager
def vector_refusals() -> Iterator[None]:
    """Turn what is missing or of another length into an error that says so."""
    try:
        yield
    except OtherSchemaError:
        raise
    except SchemaError as error:
        hint = "Call `await state.context.enable_vectors(dimensions)` once, as the role that migrated."
        raise SchemaError("no embeddings are kept in this database", hint=hint) from error
    except UnstorableError as error:
        if not isinstance(error.__cause__, asyncpg.DataError):
            raise
        raise UnstorableError(f"the embedding does not fit those that are kept: {error.__cause__}") from error


def _document(row: Mapping[str, Any]) -> Document:
    return Document(row["source"], row["hash"], row["content"], decode(row["metadata"]), row["retrieved_at"])

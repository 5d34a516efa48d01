"""What every object store does here, whatever is behind it. `tests/conformance/object_store.py` says it in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from outlive.errors import ConfigurationError

STREAM_CHUNK_BYTES = 4 * 1024 * 1024
KEY_LIMIT = 900


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """One object as the store lists it; `modified_at` is aware UTC."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """An upload that was begun and neither completed nor abandoned: nobody can read it, and it takes up room."""

    key: str
    upload_id: str
    started_at: datetime


class ObjectStore(Protocol):
    """Keys are relative to the URL, parts of them separated by `/`. An object is there whole or not at all.

    Every call ends within the time that the options allow. A call that ended without an error is durable.

    Raises:
        AccessRefusedError: the credentials don't allow it. Nothing was done.
        ObjectStorageError: the store did not answer in time, or failed; whether a write was done is unknown.
    """

    url: str
    """Where it is, without credentials."""

    async def put(self, key: str, data: bytes, *, create: bool = False) -> None:
        """Write a small object; with `create` only where there is none: of several writers one wins.

        Raises:
            ObjectExistsError: `create`, and there is one. It may be this very put, whose first answer was lost.
        """

    async def get(self, key: str) -> bytes:
        """The whole object, in memory.

        Raises:
            ObjectNotFoundError: there is none.
        """

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """Bytes from `start` on, fewer than `length` at the object's end, none behind it.

        Raises:
            ObjectNotFoundError: there is none.
        """

    def stream(self, key: str, *, chunk_bytes: int = STREAM_CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The object in order, some chunks fetched ahead.

        Raises:
            ObjectNotFoundError: there is none, or it went meanwhile.
        """

    async def upload(self, key: str, chunks: AsyncIterator[bytes], *, expected_bytes: int | None = None) -> int:
        """Write an object of any length; its size. Where `chunks` raises or the call is cancelled, nothing is left.

        `expected_bytes` may be rough; it decides how large the parts are.
        """

    async def head(self, key: str) -> ObjectFacts | None:
        """What is known of the object; None where there is none."""

    def list(self, prefix: str = "") -> AsyncIterator[ObjectFacts]:
        """Every object below the folder `prefix`; those directly in one folder in the order of their names.

        Where folders come among objects differs between stores.
        """

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there is as good as removed."""

    async def unfinished(self) -> Sequence[UnfinishedUpload] | None:
        """Uploads that nobody finished, from below this URL; None where the store doesn't tell."""

    async def abandon(self, upload: UnfinishedUpload) -> None:
        """Free what an unfinished upload takes up."""

    async def close(self) -> None:
        """Let go of what is held; may be called twice."""


def check_key(key: str) -> str:
    """The key itself.

    Raises:
        ConfigurationError: it is empty, too long, or leaves its place.
    """
    parts = key.split("/")
    if len(key) > KEY_LIMIT or not key.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise ConfigurationError(f"not the key of an object: {key[:100]!r}")
    return key

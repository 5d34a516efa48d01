"""From a program's output to an object in the store: limited, followed, compressed, encrypted, hashed, uploaded."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable

from outlive import system
from outlive.backup import codec as codecs
from outlive.backup.codec import Codec
from outlive.backup.manifest import StoredObject
from outlive.backup.taking.progress import Meter
from outlive.object_storage.store import ObjectStore
from outlive.postgres.children import READ_BYTES

PIECE_S = 0.25
SMALLEST_BYTES = 16 * 1024


async def send(
    store: ObjectStore, key: str, chunks: AsyncIterator[bytes], codec: Codec, *, meter: Meter,
    follow: Callable[[bytes], None] = lambda _chunk: None, expected_bytes: int | None = None,
) -> StoredObject:  # fmt: skip
    """Store what comes, as one object. Where `chunks` raises nothing of it is left.

    Raises:
        ObjectStorageError: the store failed.
    """
    began, digest, stored = meter.raw_bytes, hashlib.sha256(), _Count()

    async def hashed() -> AsyncIterator[bytes]:
        async for chunk in codecs.encode(meter.raw(chunks, follow), codec, key):
            await asyncio.to_thread(digest.update, chunk)
            stored.size_bytes += len(chunk)
            meter.stored_bytes += len(chunk)
            yield chunk

    await store.upload(key, hashed(), expected_bytes=expected_bytes)
    return StoredObject(
        key=key, size_bytes=stored.size_bytes, sha256=digest.hexdigest(), raw_bytes=meter.raw_bytes - began
    )


class _Count:
    size_bytes = 0


def piece_bytes(bytes_per_s: float | None) -> int:
    """How much to read at a time: what passes in `PIECE_S` seconds at most.

    Between two pieces nothing is read, and a server gives a reader up that takes nothing for some seconds.
    """
    if bytes_per_s is None:
        return READ_BYTES
    return max(SMALLEST_BYTES, min(READ_BYTES, int(bytes_per_s * PIECE_S)))


async def limited(chunks: AsyncIterator[bytes], bytes_per_s: float | None) -> AsyncIterator[bytes]:
    """The same chunks, no faster than that on the average."""
    began, passed = system.monotonic(), 0
    async for chunk in chunks:
        yield chunk
        passed += len(chunk)
        if bytes_per_s is not None:
            ahead_s = passed / bytes_per_s - (system.monotonic() - began)
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)


async def once(data: bytes) -> AsyncIterator[bytes]:
    """What is in memory already, as a stream."""
    yield data

"""A store behind obstore: S3, Google's, Azure's, memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Protocol

import obstore

from outlive.errors import ObjectNotFoundError, ObjectStorageError
from outlive.object_storage.driver_threads import wait_at_exit
from outlive.object_storage.failures import told
from outlive.object_storage.options import StoreOptions
from outlive.object_storage.parts import plan
from outlive.object_storage.reading import in_order
from outlive.object_storage.store import STREAM_CHUNK_BYTES, ObjectFacts, UnfinishedUpload, check_key

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore as Driver

LIST_PAGE = 1000
DELETE_BATCH = 500


class Housekeeping(Protocol):
    """What a store tells of unfinished uploads; the driver has no call for it."""

    async def unfinished(self) -> Sequence[UnfinishedUpload]:
        """Those below the store's URL."""

    async def abandon(self, upload: UnfinishedUpload) -> None:
        """End one."""


class CloudStore:
    """One store of obstore's under its URL."""

    def __init__(
        self, url: str, driver: Driver, options: StoreOptions, housekeeping: Housekeeping | None = None
    ) -> None:
        self.url = url if url.endswith("://") else url.rstrip("/")
        self._driver = driver
        self._options = options
        self._housekeeping = housekeeping
        wait_at_exit()

    def __repr__(self) -> str:
        return f"<CloudStore {self.url}>"

    async def put(self, key: str, data: bytes, *, create: bool = False) -> None:
        """Write a small object."""
        with told(self.url, check_key(key), self._options):
            await obstore.put_async(
                self._driver, key, data, mode="create" if create else "overwrite", use_multipart=False
            )

    async def get(self, key: str) -> bytes:
        """The whole object."""
        with told(self.url, check_key(key), self._options):
            result = await obstore.get_async(self._driver, key)
            return (await result.bytes_async()).to_bytes()

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """Some of its bytes."""
        facts = await self._require(key)
        if start >= facts.size_bytes or length <= 0:
            return b""
        return await self._range(key, start, min(length, facts.size_bytes - start))

    async def stream(self, key: str, *, chunk_bytes: int = STREAM_CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The object in order."""
        facts = await self._require(key)
        async for chunk in in_order(
            lambda start, length: self._range(key, start, length), facts.size_bytes, chunk_bytes
        ):
            yield chunk

    async def upload(self, key: str, chunks: AsyncIterator[bytes], *, expected_bytes: int | None = None) -> int:
        """Write an object of any length."""
        parts, feed = plan(expected_bytes), _Feed(chunks)
        with told(self.url, check_key(key), self._options):
            putting = asyncio.ensure_future(
                obstore.put_async(
                    self._driver, key, feed, chunk_size=parts.part_bytes, max_concurrency=parts.in_flight,
                    use_multipart=True,
                )
            )  # fmt: skip
            try:
                await asyncio.shield(putting)
            except asyncio.CancelledError:
                # The driver abandons an upload when its source fails, not when it is dropped.
                feed.fail()
                await asyncio.wait([putting], timeout=self._options.timeout_s)
                putting.cancel()
                raise
        return feed.size_bytes

    async def head(self, key: str) -> ObjectFacts | None:
        """What is known of the object."""
        try:
            with told(self.url, check_key(key), self._options):
                return _facts(await obstore.head_async(self._driver, key))
        except ObjectNotFoundError:
            return None

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectFacts]:
        """Every object below the folder, as the store orders them."""
        folder = prefix.strip("/")
        listing = obstore.list(self._driver, folder or None, chunk_size=LIST_PAGE)
        while True:  # ends with the listing
            with told(self.url, folder, self._options):
                page = await anext(aiter(listing), None)
            if page is None:
                return
            for meta in page:
                yield _facts(meta)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        for first in range(0, len(keys), DELETE_BATCH):
            batch = [check_key(key) for key in keys[first : first + DELETE_BATCH]]
            try:
                with told(self.url, batch[0], self._options):
                    await obstore.delete_async(self._driver, batch)
            except ObjectNotFoundError:
                await self._delete_each(batch)

    async def unfinished(self) -> Sequence[UnfinishedUpload] | None:
        """Uploads that nobody finished."""
        return None if self._housekeeping is None else await self._housekeeping.unfinished()

    async def abandon(self, upload: UnfinishedUpload) -> None:
        """Free one."""
        if self._housekeeping is not None:
            await self._housekeeping.abandon(upload)

    async def close(self) -> None:
        """The driver closes its connections itself."""

    async def _delete_each(self, keys: Sequence[str]) -> None:
        """Some stores refuse the whole batch where one is not there."""
        for key in keys:
            try:
                with told(self.url, key, self._options):
                    await obstore.delete_async(self._driver, key)
            except ObjectNotFoundError:
                continue

    async def _range(self, key: str, start: int, length: int) -> bytes:
        with told(self.url, key, self._options):
            found = await obstore.get_range_async(self._driver, key, start=start, length=length)
        if len(found) != length:
            raise ObjectStorageError(f"{self.url}/{key}: asked for {length} bytes at {start}, got {len(found)}")
        return found.to_bytes()

    async def _require(self, key: str) -> ObjectFacts:
        facts = await self.head(key)
        if facts is None:
            raise ObjectNotFoundError(f"{self.url}/{key} is not there")
        return facts


class _Feed:
    """Hands chunks to the driver, counts them, and can be made to fail."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.size_bytes = 0
        self._chunks = aiter(chunks)
        self._failed = asyncio.Event()

    def __aiter__(self) -> _Feed:
        return self

    async def __anext__(self) -> bytes:
        following = asyncio.ensure_future(anext(self._chunks))
        failed = asyncio.ensure_future(self._failed.wait())
        await asyncio.wait([following, failed], return_when=asyncio.FIRST_COMPLETED)
        failed.cancel()
        if self._failed.is_set():
            following.cancel()
            await asyncio.wait([following])
            raise InterruptedError("the upload was cancelled")
        chunk = following.result()
        self.size_bytes += len(chunk)
        return chunk

    def fail(self) -> None:
        """Let the next chunk be an error."""
        self._failed.set()


def _facts(meta: ObjectMeta) -> ObjectFacts:
    return ObjectFacts(str(meta["path"]), meta["size"], meta["last_modified"])

"""What every object store has to do, whatever is behind it: one suite for all of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from outlive.errors import ConfigurationError, ObjectExistsError, ObjectNotFoundError
from outlive.object_storage.store import ObjectStore

MIB = 1024 * 1024
WRITERS = 8


async def chunks_of(data: bytes, size: int) -> AsyncIterator[bytes]:
    """The data in pieces."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    """The keys below a folder, in the order of the listing."""
    return [facts.key async for facts in store.list(prefix)]


class ObjectStoreConformance:
    """Inherited by a test class that has a fixture `store`, empty at the start of each test."""

    async def test_what_is_put_is_read(self, store: ObjectStore) -> None:
        """Empty and binary content come back as they were, and a second put replaces the first."""
        for content in (b"", bytes(range(256)) * 5, b"short"):
            await store.put("folder/one", content)
            assert await store.get("folder/one") == content

    async def test_ranges(self, store: ObjectStore) -> None:
        """A range is cut at the object's end, and is empty behind it."""
        await store.put("one", b"0123456789")
        assert await store.get_range("one", 2, 3) == b"234"
        assert await store.get_range("one", 8, 100) == b"89"
        assert await store.get_range("one", 10, 1) == b""
        assert await store.get_range("one", 3, 0) == b""

    async def test_what_is_not_there(self, store: ObjectStore) -> None:
        """Every way to read says so by the same error; `head` says None; a folder is no object."""
        await store.put("folder/one", b"1")
        for key in ("nothing", "folder/two", "folder/one/below"):
            assert await store.head(key) is None
            for read in (store.get(key), store.get_range(key, 0, 1), anext(aiter(store.stream(key)))):
                with pytest.raises(ObjectNotFoundError):
                    await read
        assert await store.head("folder") is None

    async def test_a_streamed_object_is_whole_and_in_order(self, store: ObjectStore) -> None:
        """However it is cut, also where the last chunk is a short one or there is none."""
        content = os.urandom(3 * MIB + 17)
        assert await store.upload("large", chunks_of(content, 700_001)) == len(content)
        for size in (MIB, 3 * MIB + 17, 10 * MIB):
            assert b"".join([chunk async for chunk in store.stream("large", chunk_bytes=size)]) == content
        await store.put("empty", b"")
        assert [chunk async for chunk in store.stream("empty")] == []

    async def test_an_upload_of_several_parts(self, store: ObjectStore) -> None:
        """More than fits into one part, and an empty one."""
        content = os.urandom(MIB) * 20
        assert await store.upload("parts", chunks_of(content, MIB), expected_bytes=len(content)) == len(content)
        assert await store.get("parts") == content
        assert await store.upload("nothing", chunks_of(b"", 1)) == 0
        assert await store.get("nothing") == b""

    async def test_an_upload_whose_source_fails_leaves_nothing(self, store: ObjectStore) -> None:
        """Neither an object nor a part of one; the source's own error comes out."""

        async def failing() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield bytes(MIB)
            raise EOFError("the source broke")

        with pytest.raises(EOFError, match="the source broke"):
            await store.upload("broken", failing())
        assert await store.head("broken") is None
        assert not await store.unfinished()

    async def test_an_upload_that_is_cancelled_leaves_nothing(self, store: ObjectStore) -> None:
        """Ctrl-C in the middle of a backup is this."""
        begun = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            for number in range(1_000_000):
                yield bytes(MIB)
                if number > 18:
                    begun.set()
                    await asyncio.sleep(3600)

        uploading = asyncio.create_task(store.upload("cancelled", endless()))
        await asyncio.wait_for(begun.wait(), 120)
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading
        assert await store.head("cancelled") is None
        assert not await store.unfinished()

    async def test_one_of_several_creators_wins(self, store: ObjectStore) -> None:
        """The others are told, and what the winner wrote stays."""
        contents = [f"writer {number}".encode() for number in range(WRITERS)]
        done = await asyncio.gather(
            *(store.put("contended", content, create=True) for content in contents), return_exceptions=True
        )
        assert [type(result) for result in done if result is not None] == [ObjectExistsError] * (WRITERS - 1)
        assert await store.get("contended") == contents[done.index(None)]
        with pytest.raises(ObjectExistsError):
            await store.put("contended", b"late", create=True)

    async def test_facts(self, store: ObjectStore) -> None:
        """Size and an aware moment, the same by `head` and in the listing."""
        await store.put("folder/one", b"12345")
        facts = await store.head("folder/one")
        assert facts is not None
        assert (facts.key, facts.size_bytes) == ("folder/one", 5)
        assert facts.modified_at.tzinfo is not None
        listed = [each async for each in store.list()]
        assert [(each.key, each.size_bytes) for each in listed] == [("folder/one", 5)]

    async def test_a_listing_is_ordered_and_of_a_folder(self, store: ObjectStore) -> None:
        """In the order of names; a folder's name is not a prefix of another's; a folder that isn't there is empty."""
        keys = ["a-b/1", "a/1", "a/b/2", "a/b-c", "ab/1", "b", "c/00000001", "c/0000000A", "c/0000000A.00100000"]
        for key in reversed(keys):
            await store.put(key, b"")
        assert sorted(await keys_of(store)) == sorted(keys)
        assert await keys_of(store, "c") == await keys_of(store, "c/") == keys[-3:]
        assert sorted(await keys_of(store, "a")) == ["a/1", "a/b-c", "a/b/2"]
        assert await keys_of(store, "nowhere") == []

    async def test_more_objects_than_a_page(self, store: ObjectStore) -> None:
        """A listing goes on behind its first page."""
        keys = [f"many/{number:05d}" for number in range(1100)]
        for start in range(0, len(keys), 50):
            await asyncio.gather(*(store.put(key, b"") for key in keys[start : start + 50]))
        assert await keys_of(store, "many") == keys
        await store.delete(keys)
        assert await keys_of(store) == []

    async def test_removal(self, store: ObjectStore) -> None:
        """Those named are gone, those absent don't matter, others stay."""
        for key in ("folder/one", "folder/two", "three"):
            await store.put(key, b"x")
        await store.delete(["folder/one", "absent", "three"])
        await store.delete([])
        assert await keys_of(store) == ["folder/two"]

    @pytest.mark.parametrize("key", ["", "/absolute", "a//b", "../up", "a/../b", "a/", "new\nline", "x" * 1000])
    async def test_keys_stay_in_their_place(self, store: ObjectStore, key: str) -> None:
        """A key that is none is refused before anything is asked."""
        with pytest.raises(ConfigurationError, match="not the key of an object"):
            await store.put(key, b"")

    async def test_an_unfinished_upload_can_be_abandoned(self, store: ObjectStore) -> None:
        """What a killed writer left is told where the store tells such things, and can be freed."""
        begun = asyncio.Event()

        async def waiting() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield bytes(MIB)
            begun.set()
            await asyncio.sleep(3600)

        uploading = asyncio.create_task(store.upload("folder/left", waiting()))
        await asyncio.wait_for(begun.wait(), 120)
        left = await store.unfinished()
        for upload in left or ():
            assert upload.key == "folder/left"
            await store.abandon(upload)
        assert not await store.unfinished()
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)

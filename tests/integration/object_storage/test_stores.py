"""Memory, a directory and a real S3 server do the same; and what only one of them can do wrong."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from conformance.object_store import ObjectStoreConformance, chunks_of, keys_of
from outlive.errors import AccessRefusedError, ConfigurationError, ObjectNotFoundError, ObjectStorageError
from outlive.model.outcome import Outcome
from outlive.object_storage.opening import open_store
from outlive.object_storage.options import StoreOptions, read_options
from outlive.object_storage.store import ObjectStore
from outlive.testing.object_store import CREDENTIALS, SeaweedFS


@pytest.fixture(scope="module")
def s3() -> Iterator[SeaweedFS]:
    """One server for the module."""
    scratch = tempfile.TemporaryDirectory(prefix="outlive-s3-", ignore_cleanup_errors=True)
    with scratch as folder, SeaweedFS(Path(folder)) as server:
        yield server


class TestMemory(ObjectStoreConformance):
    """Memory."""

    @pytest.fixture
    def store(self) -> ObjectStore:
        """A new one."""
        return open_store("memory://")


class TestDirectory(ObjectStoreConformance):
    """A directory."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        """One that is not there yet."""
        return open_store((tmp_path / "new" / "store").as_uri())


class TestS3(ObjectStoreConformance):
    """A server that speaks S3."""

    @pytest.fixture
    async def store(self, s3: SeaweedFS) -> AsyncIterator[ObjectStore]:
        """A prefix of its own in a bucket that is there."""
        opened = open_store(s3.url("conformance", f"t/{uuid4().hex}"), s3.options())
        await opened.put("first", b"makes the bucket")
        await opened.delete(["first"])
        yield opened
        await opened.close()


async def test_refused_credentials(s3: SeaweedFS) -> None:
    """A wrong secret is told by every call as a refusal, and nothing of it is in the message."""
    store = open_store(s3.url("conformance"), s3.refused())
    calls = (
        store.get("x"),
        store.put("x", b"1"),
        store.head("x"),
        store.upload("y", chunks_of(b"12", 1)),
        keys_of(store),
    )
    for call in calls:
        with pytest.raises(AccessRefusedError) as caught:
            await call
        assert caught.value.outcome is Outcome.NOT_APPLIED
        assert "another-secret" not in str(caught.value)
        assert len(str(caught.value)) < 400
    assert "another-secret" not in repr(s3.refused())


async def test_a_bucket_that_is_not_there(s3: SeaweedFS) -> None:
    """It is never mistaken for an object that is not there: recovery would end early."""
    store = open_store(s3.url("no-such-bucket"), s3.options())
    with pytest.raises(ConfigurationError, match="no such bucket"):
        await store.get("x")


async def test_a_server_that_is_gone_then_back(tmp_path: Path) -> None:
    """Down and frozen are told in time, as unknown; after a kill -9 what was acknowledged is still there."""
    with SeaweedFS(tmp_path / "s3") as server:
        patient = open_store(server.url(), server.options(timeout_s=30.0, retries=10))
        await patient.put("kept", b"kept")
        store = open_store(server.url(), server.options(timeout_s=2.0, retries=1))
        thaw = server.freeze()
        await _told_in_time(store)
        thaw()
        server.kill()
        await _told_in_time(store)
        server.start()
        assert await patient.get("kept") == b"kept"


async def _told_in_time(store: ObjectStore) -> None:
    for call in (store.put("other", b"1"), store.get("kept"), store.upload("large", chunks_of(b"1" * 100, 9))):
        with pytest.raises(ObjectStorageError) as caught:
            await asyncio.wait_for(call, 90)
        assert caught.value.outcome is Outcome.UNKNOWN
        assert not isinstance(caught.value, ObjectNotFoundError)


@pytest.mark.parametrize(
    "url",
    ["ftp://x/y", "s3://", "s3://key:secret@bucket/x", "file://elsewhere/dir", "bucket/x", "s3://b/x?token=secret"],
)
def test_what_is_no_place_is_refused(url: str) -> None:
    """Before anything is asked, and without repeating a secret."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


async def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    """A file in the place of a folder is told, not mistaken."""
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ObjectStorageError):
        await open_store((tmp_path / "store").as_uri()).put("x", b"1")


async def test_plain_http_has_to_be_allowed(s3: SeaweedFS) -> None:
    """Credentials and data don't go over the wire in the open unless that was said."""
    store = open_store(s3.url(), replace(s3.options(retries=0), allow_http=False))
    with pytest.raises((ObjectStorageError, ConfigurationError)):
        await store.put("x", b"1")


def test_options_are_refused_by_name(tmp_path: Path) -> None:
    """A misspelt option names itself; its value, which may be a secret, is not told."""
    file = tmp_path / "options.json"
    file.write_text('{"secret_acces_key": "hidden"}')
    with pytest.raises(ConfigurationError, match="secret_acces_key") as caught:
        read_options(file)
    assert "hidden" not in str(caught.value)
    assert StoreOptions() == read_options(_write(file, "{}"))


def _write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


async def test_a_store_that_answers_503_is_asked_again_and_told() -> None:
    """As often as the options say, then the answer is in the error, and what became of a write is unknown."""
    asked: list[bytes] = []

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(busy, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    options = StoreOptions(
        endpoint=endpoint, allow_http=True, credentials=CREDENTIALS, timeout_s=10, retries=2
    )  # fmt: skip
    async with server:
        with pytest.raises(ObjectStorageError, match="503") as caught:
            await open_store("s3://busy", options).put("x", b"1")
    assert caught.value.outcome is Outcome.UNKNOWN
    assert len(asked) == 3
    assert CREDENTIALS.secret_access_key.encode() not in b"".join(asked)

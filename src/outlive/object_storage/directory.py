"""A store in a directory of this machine, or of a file system that is mounted here.

An object is written beside, under `.uploads`, synced, and put in its place by one rename or link; then the folder is
synced. So it is there whole or not at all, and once it is acknowledged a power cut doesn't take it. (obstore's own
directory store doesn't sync, which is why this one is here.)
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISDIR
from typing import TypeVar

from outlive.errors import AccessRefusedError, ObjectExistsError, ObjectNotFoundError, ObjectStorageError
from outlive.object_storage.reading import in_order
from outlive.object_storage.store import STREAM_CHUNK_BYTES, ObjectFacts, UnfinishedUpload, check_key

T = TypeVar("T")
UPLOADS = ".uploads"
PLACE_TRIES = 100
"""How often the folder of an object may be removed, with the last one in it, before the object has its place."""


class DirectoryStore:
    """Objects as files below `root`, which is made where it is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = root.as_uri()

    async def put(self, key: str, data: bytes, *, create: bool = False) -> None:
        """Write a small object."""
        await self._do(key, lambda: self._put(key, data, create=create))

    async def get(self, key: str) -> bytes:
        """The whole object."""
        return await self._do(key, self._path(key).read_bytes)

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """Some of its bytes."""
        return await self._do(key, lambda: _read(self._path(key), start, length))

    async def stream(self, key: str, *, chunk_bytes: int = STREAM_CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The object in order."""
        size_bytes = await self._do(key, lambda: self._path(key).stat().st_size)
        async for chunk in in_order(lambda start, length: self.get_range(key, start, length), size_bytes, chunk_bytes):
            yield chunk

    async def upload(self, key: str, chunks: AsyncIterator[bytes], *, expected_bytes: int | None = None) -> int:  # noqa: ARG002
        """Write an object of any length."""
        partial = await self._do(key, lambda: self._partial(key))
        size_bytes = 0
        try:
            with await self._do(key, lambda: partial.open("wb")) as file:
                async for chunk in chunks:
                    size_bytes += await self._do(key, lambda chunk=chunk: file.write(chunk))  # type: ignore[misc]
                await self._do(key, lambda: _sync(file.fileno(), file.flush))
            await self._do(key, lambda: self._place(partial, key, create=False))
        finally:
            partial.unlink(missing_ok=True)
        return size_bytes

    async def head(self, key: str) -> ObjectFacts | None:
        """What is known of the object."""
        try:
            return await self._do(key, lambda: _facts(key, self._path(key).stat()))
        except ObjectNotFoundError:
            return None

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectFacts]:
        """Every object below the folder."""
        folder = prefix.strip("/")
        for facts in await self._do(folder, lambda: list(self._walk(folder))):
            yield facts

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, and the folders that are empty then."""
        for key in keys:
            await self._do(key, lambda key=key: self._delete(key))  # type: ignore[misc]

    async def unfinished(self) -> Sequence[UnfinishedUpload]:
        """Files of writers that ended in the middle, or are still at it."""
        return await self._do("", lambda: list(self._unfinished()))

    async def abandon(self, upload: UnfinishedUpload) -> None:
        """Remove one."""
        await self._do(upload.key, lambda: (self.root / UPLOADS / upload.upload_id).unlink(missing_ok=True))

    async def close(self) -> None:
        """Nothing is held."""

    async def _do(self, key: str, work: Callable[[], T]) -> T:
        with _told(f"{self.url}/{key}"):
            return await asyncio.to_thread(work)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _partial(self, key: str) -> Path:
        uploads = self.root / UPLOADS
        uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
        return uploads / f"{check_key(key).replace('/', '%')}.{secrets.token_hex(8)}"

    def _put(self, key: str, data: bytes, *, create: bool) -> None:
        partial = self._partial(key)
        try:
            with partial.open("wb") as file:
                file.write(data)
                _sync(file.fileno(), file.flush)
            self._place(partial, key, create=create)
        finally:
            partial.unlink(missing_ok=True)

    def _place(self, partial: Path, key: str, *, create: bool) -> None:
        path, made = self._path(key), set[Path]()
        for tries_left in reversed(range(PLACE_TRIES)):
            try:
                made.update(_make_folders(path.parent))
                os.link(partial, path) if create else partial.replace(path)
                break
            except FileNotFoundError:
                if not tries_left or not partial.exists():
                    raise
        for folder in (path.parent, *made):
            with suppress(FileNotFoundError):  # removed since, with the object
                _sync_folder(folder)

    def _delete(self, key: str) -> None:
        path = self._path(key)
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root or not _remove_if_empty(folder):
                return

    def _walk(self, folder: str) -> Iterator[ObjectFacts]:
        try:
            entries = list(os.scandir(self.root / folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in sorted(entries, key=lambda entry: entry.name + ("/" if entry.is_dir() else "")):
            key = f"{folder}/{entry.name}" if folder else entry.name
            if key == UPLOADS:
                continue
            if entry.is_dir():
                yield from self._walk(key)
            else:
                try:
                    yield _facts(key, entry.stat())
                except FileNotFoundError:
                    continue

    def _unfinished(self) -> Iterator[UnfinishedUpload]:
        uploads = self.root / UPLOADS
        for path in sorted(uploads.iterdir()) if uploads.is_dir() else ():
            key = path.name.rpartition(".")[0].replace("%", "/")
            with suppress(FileNotFoundError):  # finished meanwhile
                yield UnfinishedUpload(key, path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC))


@contextmanager
def _told(where: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ObjectNotFoundError(f"{where} is not there") from None
    except FileExistsError:
        raise ObjectExistsError(f"{where} is there already") from None
    except PermissionError as error:
        raise AccessRefusedError(f"{where}: {error.strerror}") from error
    except OSError as error:
        raise ObjectStorageError(f"{where}: {error.strerror}") from error


def _facts(key: str, stat: os.stat_result) -> ObjectFacts:
    if S_ISDIR(stat.st_mode):
        raise IsADirectoryError(key)
    return ObjectFacts(key, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))


def _read(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(max(0, length))


def _sync(descriptor: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(descriptor)


def _make_folders(folder: Path) -> list[Path]:
    """Make the folder; the parents of those that were made, which have to be synced for them to last."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    return [path.parent for path in missing]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True

"""Writes a tar as it comes in: never whole in memory, never whole on disk.

The tar is unpacked in a thread, as `tarfile` reads synchronously; the chunks come from the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import tarfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from outlive import system
from outlive.errors import BackupError, ChecksumMismatchError

READ_BYTES = 1024 * 1024
BUFFER_BYTES = 64 * 1024
"""What tarfile holds; it copies all of that for each header, so that a large one makes small files slow."""
AHEAD_LIMIT = 2
"""Chunks that are fetched before they can be written."""
FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was written, and how long the writer had nothing to write because the store was slower."""

    files: int
    size_bytes: int
    waited_s: float


async def extract(chunks: AsyncIterator[bytes], into: Path, progress: Callable[[int], None]) -> Extracted:
    """Unpack the tar in `chunks` into the directory `into`; `progress` is told the bytes of each step.

    Raises:
        ChecksumMismatchError: it is not a tar of a data directory, or would leave `into`.
        BackupError: the disk is full, or refuses.
    """
    feed = _Feed(asyncio.get_running_loop(), _ahead(chunks))
    work = asyncio.ensure_future(asyncio.to_thread(_unpack, feed, into, progress))
    try:
        return await asyncio.shield(work)
    except tarfile.TarError as error:
        raise ChecksumMismatchError(f"the backup's tar can't be read: {error}") from error
    except OSError as error:
        raise disk_error(error, into) from error
    finally:
        feed.stop()
        await asyncio.wait([work])
        await feed.close()


def disk_error(error: OSError, where: Path) -> BackupError:
    """What a failure of the disk means."""
    if error.errno in FULL_DISK:
        return no_room(where, str(error.strerror))
    return BackupError(f"{error.filename or where}: {error.strerror}", hint="The disk refused; nothing was restored.")


def no_room(where: Path, words: str) -> BackupError:
    """The error about a full disk."""
    return BackupError(
        f"no room left in {where}: {words}",
        hint="Free some, or restore into a directory on another disk; nothing of the restore was left there.",
    )


async def _ahead(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, fetched while the ones before are written."""
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(AHEAD_LIMIT)

    async def fill() -> None:
        async for chunk in chunks:
            await queue.put(chunk)
        await queue.put(None)

    filling = asyncio.ensure_future(fill())
    try:
        while True:  # ends with the chunks, or with their failure
            waiting = asyncio.ensure_future(queue.get())
            await asyncio.wait([waiting, filling], return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                filling.result()
                chunk = queue.get_nowait()
            else:
                chunk = waiting.result()
            if chunk is None:
                return
            yield chunk
    finally:
        filling.cancel()
        await asyncio.wait([filling])


class _Feed:
    """The chunks as a file that a thread reads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chunks: AsyncIterator[bytes]) -> None:
        self._loop, self._chunks = loop, chunks
        self._stopped = False
        self._pending: Future[bytes] | None = None
        self._chunk, self._place = b"", 0
        self.waited_s = 0.0

    def read(self, size: int = BUFFER_BYTES) -> bytes:
        """Up to `size` bytes; none at the end."""
        if self._place == len(self._chunk):
            self._chunk, self._place = self._fetch(), 0
        piece = self._chunk[self._place : self._place + size]
        self._place += len(piece)
        return piece

    def _fetch(self) -> bytes:
        if self._stopped:
            raise CancelledError
        began = system.monotonic()
        self._pending = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        try:
            return self._pending.result()
        finally:
            self.waited_s += system.monotonic() - began

    async def _next(self) -> bytes:
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""

    def stop(self) -> None:
        """Let the reading thread end."""
        self._stopped = True
        if self._pending is not None:
            self._pending.cancel()

    async def close(self) -> None:
        """Let go of the chunks."""
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()


def _unpack(feed: _Feed, into: Path, progress: Callable[[int], None]) -> Extracted:
    files = size_bytes = 0
    with tarfile.open(fileobj=cast("IO[bytes]", feed), mode="r|", bufsize=BUFFER_BYTES) as tar:
        for member in tar:
            target = into / place(member)
            if member.isdir():
                target.mkdir(mode=0o700, parents=True, exist_ok=True)
                continue
            size_bytes += _write(tar, member, target, progress)
            files += 1
    while feed.read():  # what follows the tar's end still has to prove that the object is whole
        pass
    if not files:
        raise ChecksumMismatchError("the backup's tar holds no file")
    return Extracted(files, size_bytes, feed.waited_s)


def place(member: tarfile.TarInfo) -> PurePosixPath:
    """Where a member belongs, relative to the data directory.

    Raises:
        ChecksumMismatchError: it leaves the directory, or is neither a file nor a directory.
    """
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        raise ChecksumMismatchError(f"the backup's tar wants to write outside of its directory: {member.name!r}")
    if not (member.isreg() or member.isdir()):
        raise ChecksumMismatchError(
            f"the backup's tar holds {member.name!r}, which is neither a file nor a directory",
            hint="A data directory with tablespaces can't be restored; nothing was written there.",
        )
    return path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, progress: Callable[[int], None]) -> int:
    content = tar.extractfile(member)
    assert content is not None, "a regular file has content"
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = 0
    with target.open("xb", buffering=0) as file:
        while chunk := content.read(READ_BYTES):
            written += file.write(chunk)
            progress(len(chunk))
    target.chmod(0o600)
    return written

"""Hands WAL to a server in recovery, fetched before it is asked for.

Listens on a Unix socket for `wal_client`. What the plan counts on and the store no longer has is an error that stops
recovery, never "not found": PostgreSQL would take that for the end of the WAL.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from outlive.backup.plan.first_page import strangeness
from outlive.backup.restoring import wal_client
from outlive.errors import ChecksumMismatchError, ObjectNotFoundError, OutliveError, WalGapError
from outlive.model.wal import WalSegment, is_segment

AHEAD_LIMIT = 4
"""Segments fetched before they are asked for; each is 16 MiB in memory."""
PIECE_BYTES = 256 * 1024
Read = Callable[[str], Awaitable[bytes]]
"""The content of a file of WAL by its name. Raises ObjectNotFoundError."""


class WalServer:
    """Serves the segments in `expected` and whatever else the store has; `error` is why recovery was stopped."""

    def __init__(
        self, read: Read, expected: tuple[WalSegment, ...], system_identifier: str, segment_bytes: int
    ) -> None:
        self._read, self._system_identifier, self._segment_bytes = read, system_identifier, segment_bytes
        self._expected = {segment.name: place for place, segment in enumerate(expected)}
        self._order = [segment.name for segment in expected]
        self._fetching: dict[str, asyncio.Task[bytes]] = {}
        self._server: asyncio.Server | None = None
        self.served = 0
        self.error: OutliveError | None = None

    async def start(self, socket: Path) -> None:
        """Listen on `socket`."""
        self._server = await asyncio.start_unix_server(self._answer, socket)
        self._fetch_from(0)

    async def stop(self) -> None:
        """Stop listening and fetching; may be called twice."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._fetching.values():
            task.cancel()
        if self._fetching:
            await asyncio.wait(self._fetching.values())
            self._fetching.clear()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            name = (await reader.readline()).decode().strip()
            head, content = await self._say(name)
            writer.write(head)
            for start in range(0, len(content), PIECE_BYTES):  # written as a whole, it would lie in memory twice
                writer.write(content[start : start + PIECE_BYTES])
                await writer.drain()
        except OSError:
            return  # the server in recovery went away
        finally:
            writer.close()

    async def _say(self, name: str) -> tuple[bytes, memoryview]:
        try:
            content = await self._get(name)
        except ObjectNotFoundError:
            if name not in self._expected:
                return b"absent\n", memoryview(b"")
            self.error = WalGapError(f"WAL segment {name} was in the store when the restore began, and is gone")
        except OutliveError as error:
            self.error = error
        else:
            self.served += 1
            return f"size {len(content)}\n".encode(), memoryview(content)
        return f"error {self.error}".replace("\n", " ").encode() + b"\n", memoryview(b"")

    async def _get(self, name: str) -> bytes:
        place = self._expected.get(name)
        if place is None:
            return await self._checked(name)
        self._fetch_from(place)
        return await asyncio.shield(self._fetching[name])

    def _fetch_from(self, place: int) -> None:
        wanted = self._order[place : place + AHEAD_LIMIT]
        for name in [name for name in self._fetching if name not in wanted]:
            self._fetching.pop(name).cancel()
        for name in wanted:
            if name not in self._fetching:
                task = asyncio.ensure_future(self._checked(name))
                task.add_done_callback(_seen)
                self._fetching[name] = task

    async def _checked(self, name: str) -> bytes:
        content = await self._read(name)
        if is_segment(name):
            segment = WalSegment.parse(name, self._segment_bytes)
            strange = strangeness(content, segment, self._system_identifier)
            if strange is not None:
                raise ChecksumMismatchError(f"WAL segment {name} is not what its name says: {strange}")
        return content


def _seen(task: asyncio.Task[bytes]) -> None:
    """A failure ahead counts once its segment is asked for; unasked, it is nobody's."""
    if not task.cancelled():
        task.exception()


def restore_command(socket: Path) -> str:
    """The setting `restore_command` for a server whose WAL comes from `socket`."""
    program = shlex.join([sys.executable, "-ISs", str(Path(wal_client.__file__)), str(socket)])
    return f'{program} "%f" "%p"; case $? in 0) ;; {wal_client.ABSENT}) exit 1 ;; *) exit 200 ;; esac'

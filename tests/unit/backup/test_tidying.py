"""The pieces of a segment go once it is in the store as a whole."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from pathlib import Path

from outlive.backup.archiver_files import ArchiverConfig
from outlive.backup.archiver_log import ArchiverLog
from outlive.backup.deposit import Deposit
from outlive.backup.plan.archived import Piece, file_key
from outlive.backup.pushing import Pusher
from outlive.backup.streaming import Streamer
from outlive.backup.wal_files import WalFiles
from outlive.model.lsn import Timeline
from outlive.model.wal import WalSegment
from outlive.object_storage.directory import DirectoryStore

SIZE = 1024 * 1024
SEGMENT = WalSegment(Timeline(1), 7, SIZE)
HEADER = struct.pack("=HHIQIxxxxQII", 0xD118, 2, 1, SEGMENT.start, 0, 42, SIZE, 8192)


class SlowWithPieces(DirectoryStore):
    """A directory that stores no piece before something was removed there."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun, self.tidied = asyncio.Event(), asyncio.Event()

    async def put(self, key: str, data: bytes, *, create: bool = False) -> None:
        """Write it; a piece later than the rest."""
        if "/tail/" in key:
            self.begun.set()
            await self.tidied.wait()
        await super().put(key, data, create=create)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove them."""
        await super().delete(keys)
        self.tidied.set()


async def _any(_: int) -> None:
    """Every cluster's WAL may be put there."""


async def test_a_piece_that_comes_after_its_segment_goes_too(tmp_path: Path) -> None:
    """It was on its way while the segment got whole and its other pieces were removed: nothing of it stays."""
    (tmp_path / "data" / "pg_wal").mkdir(parents=True)
    (tmp_path / "data" / "pg_wal" / SEGMENT.name).write_bytes(HEADER.ljust(SIZE, b"w"))
    store, files = SlowWithPieces(tmp_path / "store"), WalFiles(tmp_path / "data")
    log, deposit = ArchiverLog("n1", tmp_path / "state", say=lambda _: None), Deposit(store)
    config = ArchiverConfig(
        node="n1", data="", socket="", state="", url="", port=0, user="", password=""
    )  # never asked: the server is not there
    async with asyncio.TaskGroup() as tasks:
        pusher = Pusher(files, deposit, tasks, log, workers=1, check_system=_any)
        pusher.leaves_to_primary = False
        streamer = Streamer(config, files, deposit, pusher, log, tasks)
        tasks.create_task(streamer._put_piece(Piece(SEGMENT, 0, SIZE // 2), None))
        await store.begun.wait()
        await pusher.push(SEGMENT.name)
    assert [facts.key async for facts in store.list()] == [file_key(SEGMENT.name)]

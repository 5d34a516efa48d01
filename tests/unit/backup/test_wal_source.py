"""WAL that is read out of a store while the cluster goes on writing there."""

from __future__ import annotations

import hashlib
from pathlib import Path

from outlive.backup.deposit import Deposit
from outlive.backup.plan.archived import Piece, file_key
from outlive.backup.restoring.wal_source import WalSource
from outlive.errors import ObjectNotFoundError
from outlive.model.lsn import Timeline
from outlive.model.wal import WalSegment
from outlive.object_storage.directory import DirectoryStore

SEGMENT = WalSegment(Timeline(1), 5, 1024)
PIECE = Piece(SEGMENT, 0, 512)


class Living(DirectoryStore):
    """A directory in which the segment gets whole right after it was asked for in vain."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root = root
        self.asked: list[str] = []

    async def get(self, key: str) -> bytes:
        """The object; the first question for the segment comes too early."""
        self.asked.append(key)
        if self.asked == [file_key(SEGMENT.name)]:
            raw = b"w" * SEGMENT.size_bytes
            await Deposit(DirectoryStore(self.root)).put(key, raw, hashlib.sha256(raw).hexdigest())
            await Deposit(DirectoryStore(self.root)).tidy_after({SEGMENT.name})
            raise ObjectNotFoundError(f"{key} is not there")
        return await super().get(key)


async def test_a_segment_that_gets_whole_while_it_is_read_is_read_whole(tmp_path: Path) -> None:
    """Pieces that went because their segment is there do not end the recovery: the segment is taken."""
    await Deposit(DirectoryStore(tmp_path)).put_piece(PIECE, b"p" * 512, None)
    source = WalSource(Living(tmp_path), None, {SEGMENT: [PIECE]}, frozenset())
    assert await source.read(SEGMENT.name) == b"w" * SEGMENT.size_bytes


async def test_what_was_not_written_yet_is_zeros(tmp_path: Path) -> None:
    """Of a segment that is not whole its pieces are read, and what is behind them is zeros."""
    await Deposit(DirectoryStore(tmp_path)).put_piece(PIECE, b"p" * 512, None)
    source = WalSource(DirectoryStore(tmp_path), None, {SEGMENT: [PIECE]}, frozenset())
    assert await source.read(SEGMENT.name) == b"p" * 512 + bytes(512)

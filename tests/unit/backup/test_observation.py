"""A store that is looked at while others go on writing there."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from outlive.backup import repository
from outlive.backup.catalog import Catalog
from outlive.backup.deposit import Deposit
from outlive.backup.layout import keep_key
from outlive.backup.observation import observe
from outlive.backup.plan.archived import Piece, piece_key, segment_key
from outlive.backup.plan.lineage import Coverage
from outlive.backup.wal_report import Damage, look, read_deeply
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, WalSegment
from outlive.object_storage.directory import DirectoryStore

SEGMENT = WalSegment(Timeline(1), 5, DEFAULT_SEGMENT_BYTES)
PIECE = Piece(SEGMENT, 0, 512)
EARLY, LATE = datetime(2026, 1, 1, 12, 0, tzinfo=UTC), datetime(2026, 1, 1, 12, 1, tzinfo=UTC)


async def end_segment(root: Path) -> None:
    """Have the segment get whole, and its pieces go."""
    deposit, raw = Deposit(DirectoryStore(root)), b"w" * 100
    await deposit.put(segment_key(SEGMENT), raw, hashlib.sha256(raw).hexdigest(), LATE)
    await deposit.tidy_after({SEGMENT.name})


class Living(DirectoryStore):
    """A directory in which the segment gets whole between the listing of its piece and the first reading of that."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root = root
        self.ended = False

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """Some bytes of the object; those of the piece are asked for too late."""
        if key == piece_key(PIECE) and not self.ended:
            self.ended = True
            await end_segment(self.root)
        return await super().get_range(key, start, length)


async def archive(root: Path) -> DirectoryStore:
    """An archive of one piece."""
    store = DirectoryStore(root)
    await repository.require(store, "7")
    await Deposit(store).put_piece(PIECE, b"p" * 512, EARLY)
    return store


async def test_how_late_an_archive_goes_is_known_while_a_segment_ends(tmp_path: Path) -> None:
    """A piece that made way for its segment after it was listed leaves no moment at which nothing is known."""
    store = await archive(tmp_path)
    _, material = await observe(store, None)
    assert material.facts.archive.covered == (Coverage(Timeline(1), Lsn(SEGMENT.start + 512), EARLY),)
    _, later = await observe(Living(tmp_path), None)
    assert later.facts.archive.covered == (Coverage(Timeline(1), SEGMENT.end, LATE),)
    assert later.archived.segments == {SEGMENT}


class Releasing(DirectoryStore):
    """A directory in which a keep is released between its listing and its reading."""

    async def get(self, key: str) -> bytes:
        """The object; a keep is asked for too late."""
        if key.startswith("keeps/"):
            await self.delete([key])
        return await super().get(key)


async def test_a_keep_that_is_released_meanwhile_is_no_keep(tmp_path: Path) -> None:
    """Looking at the backups doesn't fail because of it."""
    store = await archive(tmp_path)
    await store.put(keep_key("case"), b"{}")
    assert [each.key for each in (await Catalog.load(store)).damaged] == [keep_key("case")]
    catalog = await Catalog.load(Releasing(tmp_path))
    assert (catalog.keeps, catalog.damaged) == ((), ())


async def test_a_piece_that_made_way_for_its_segment_is_no_damage(tmp_path: Path) -> None:
    """It is damage where the segment isn't there."""
    store = await archive(tmp_path)
    looked = await look(store, None)
    await store.delete([piece_key(PIECE)])
    lost = await read_deeply(store, None, looked, lambda _done, _of: None)
    assert [type(each) for each in lost] == [Damage]
    assert lost[0].key == piece_key(PIECE)
    await end_segment(tmp_path)
    assert await read_deeply(store, None, looked, lambda _done, _of: None) == ()

"""When a standby is helped on out of the store, and with which segments."""

from __future__ import annotations

from pathlib import Path

from outlive.backup.catching_up import newest_way
from outlive.backup.deposit import Deposit
from outlive.backup.plan.archived import file_key
from outlive.backup.plan.catching_up import AHEAD, PATIENCE_S, after_look, waits, wanted
from outlive.backup.wal_files import WalFiles
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, TimelineSwitch
from outlive.object_storage.opening import open_store

SIZE = DEFAULT_SEGMENT_BYTES


def test_only_one_that_stands_still_waits() -> None:
    """A position that moves begins the wait anew; one that doesn't has waited after the patience."""
    standing = after_look(None, Lsn(100), 10.0)
    assert not waits(standing, 10.0 + PATIENCE_S / 2)
    assert waits(after_look(standing, Lsn(100), 12.0), 10.0 + PATIENCE_S)
    assert not waits(after_look(standing, Lsn(101), 12.0), 10.0 + PATIENCE_S)


def test_segments_are_those_on_the_way_to_the_newest_timeline() -> None:
    """Before the fork the parent's, from the segment of the fork on the child's."""
    switches = (TimelineSwitch(Timeline(2), Timeline(1), Lsn(5 * SIZE + 7)),)
    segments = wanted(Lsn(3 * SIZE + 1), Timeline(2), switches, SIZE)
    assert len(segments) == AHEAD
    assert [(segment.timeline, segment.number) for segment in segments] == [(1, 3), (1, 4), (2, 5), (2, 6)]


async def test_a_failover_that_only_the_store_knows_of(tmp_path: Path) -> None:
    """A standby that heard of none gets nothing of the old timeline from the fork on: it might have to be rewound."""
    files, deposit = WalFiles(tmp_path), Deposit(open_store("memory://"))
    (tmp_path / "pg_wal").mkdir()
    assert await newest_way(files, deposit) == (1, ())
    second, third = "1\t0/5000007\tno recovery target\n", "1\t0/5000007\tno\n2\t0/7000000\tno\n"
    for number, text in ((2, second), (3, third)):
        await deposit.put(file_key(f"{number:08X}.history"), text.encode(), str(number))
    (tmp_path / "pg_wal" / "00000002.history").write_text(second)
    timeline, switches = await newest_way(files, deposit)
    assert timeline == 3
    assert [(each.parent, each.timeline) for each in switches] == [(1, 2), (2, 3)]
    (tmp_path / "pg_wal" / "00000002.history").unlink()
    assert await newest_way(files, deposit) == (timeline, switches)

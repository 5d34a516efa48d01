"""When a standby is helped on out of the store, and with which segments."""

from __future__ import annotations

from outlive.backup.plan.catching_up import AHEAD, PATIENCE_S, after_look, waits, wanted
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, TimelineSwitch

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

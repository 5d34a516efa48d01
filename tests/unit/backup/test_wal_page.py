"""What the first page of a segment gives away."""

from __future__ import annotations

import struct

import pytest

from outlive.backup.plan.wal_page import FirstPage, Foreign, judge
from outlive.model.lsn import Timeline
from outlive.model.wal import WalSegment

SIZE = 16 * 1024 * 1024
SEGMENT = WalSegment(Timeline(3), 7, SIZE)


def page(*, magic: int = 0xD118, flags: int = 2, timeline: int = 3, start: int = 7 * SIZE, system: int = 42) -> bytes:
    """The header of a first page."""
    return struct.pack("=HHIQIxxxxQII", magic, flags, timeline, start, 0, system, SIZE, 8192)


def test_a_segment_is_recognised() -> None:
    """A segment at its place is read; the copy that a new timeline begins with still names its parent's."""
    assert isinstance(judge(SEGMENT, page(), SIZE, 42), FirstPage)
    assert isinstance(judge(SEGMENT, page(timeline=2), SIZE, None), FirstPage)


@pytest.mark.parametrize(
    ("content", "size_bytes", "reason"),
    [
        (b"", SIZE, "cut short"),
        (page()[:30], SIZE, "cut short"),
        (b"\0" * 40, SIZE, "does not begin like"),
        (page(magic=0xD061), SIZE, "does not begin like"),
        (page(flags=0), SIZE, "does not begin like"),
        (page(), SIZE - 1, "it has 16777215 bytes"),
        (page(start=6 * SIZE), SIZE, "it begins at 0/6000000, not at 0/7000000"),
        (page(timeline=4), SIZE, "of timeline 4"),
        (page(system=43), SIZE, "of another cluster, whose system identifier is 43"),
    ],
)
def test_what_is_no_such_segment_is_told(content: bytes, size_bytes: int, reason: str) -> None:
    """Each way in which a file is not what its name says has its own sentence."""
    judged = judge(SEGMENT, content, size_bytes, 42)
    assert isinstance(judged, Foreign)
    assert reason in judged.reason

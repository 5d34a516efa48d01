"""A removed segment is found whatever the timelines look like, and nothing is found where nothing was removed."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from outlive.backup.plan.archived import Archived, Piece, covered_bytes, read_listing, segment_key
from outlive.backup.plan.gaps import Histories, find, timeline_at
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import TimelineSwitch, WalSegment

SIZE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Past:
    """Segments as a primary and its successors would have archived them."""

    archived: Archived
    histories: Histories

    def without(self, segment: WalSegment) -> Past:
        """The same with one object removed."""
        left = self.archived.segments - {segment}
        return Past(Archived(segments=left, histories=self.archived.histories), self.histories)


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    """Up to four timelines, each forked from the end of the one before, some leaving an abandoned stretch behind."""
    first = draw(st.integers(0, 600))
    segments: set[WalSegment] = set()
    histories: dict[Timeline, tuple[TimelineSwitch, ...]] = {}
    switches: tuple[TimelineSwitch, ...] = ()
    start = first
    for number in range(1, draw(st.integers(1, 4)) + 1):
        timeline = Timeline(number)
        end = start + draw(st.integers(1, 6))
        segments |= {WalSegment(timeline, place, SIZE) for place in range(start, end)}
        fork = draw(st.integers(start + 1, end)) if end > start else end
        if number > 1:
            histories[timeline] = switches
        switches = (*switches, TimelineSwitch(Timeline(number + 1), timeline, Lsn(fork * SIZE + 8192)))
        start = fork
    return Past(Archived(segments=frozenset(segments), histories=frozenset(histories)), histories)


@given(pasts())
def test_a_whole_past_has_no_gap(past: Past) -> None:
    """Nothing is called missing in what was archived without a loss, forks and abandoned ends included."""
    assert find(past.archived, past.histories, SIZE).whole


@given(pasts(), st.data())
def test_any_removed_segment_between_kept_ones_is_found(past: Past, data: st.DataObject) -> None:
    """Whichever segment is taken away, if one before it and one behind it on its path are kept, it is named."""
    removed = data.draw(st.sampled_from(sorted(past.archived.segments)))
    left = past.without(removed)
    found = find(left.archived, left.histories, SIZE)
    named = {
        WalSegment(gap.first.timeline, number, SIZE)
        for gap in found.gaps
        for number in range(gap.first.number, gap.last.number + 1)
    }
    assert named == ({removed} if _between(removed, left) else set())


def _between(removed: WalSegment, left: Past) -> bool:
    """Whether some timeline's path has kept segments on both sides of the removed one, its own end behind it."""
    for tip in {segment.timeline for segment in left.archived.segments}:
        switches = left.histories.get(tip, ())
        path = {s for s in left.archived.segments if timeline_at(s.number, switches, tip, SIZE) == s.timeline}
        last = max(s.number for s in left.archived.segments if s.timeline == tip)
        before = any(s.number < removed.number for s in path)
        if timeline_at(removed.number, switches, tip, SIZE) == removed.timeline and before and removed.number < last:
            return True
    return False


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(1, 64)), max_size=12))
def test_pieces_cover_what_their_bytes_cover(spans: list[tuple[int, int]]) -> None:
    """Coverage is the length of the run of bytes from the start that some piece holds."""
    segment = WalSegment(Timeline(1), 5, SIZE)
    pieces = [Piece(segment, start, start + length) for start, length in spans]
    held = {byte for piece in pieces for byte in range(piece.start, piece.end)}
    run = next(byte for byte in range(200) if byte not in held)
    assert covered_bytes(pieces) == run


@given(pasts())
def test_names_are_read_back(past: Past) -> None:
    """What the keys say is what was archived."""
    listing = [(segment_key(segment), 4096) for segment in past.archived.segments]
    assert read_listing(listing, SIZE).segments == past.archived.segments

"""WAL that is cut for the store: nothing left out, nothing across a boundary, nothing too large."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outlive.backup.plan.archived import Piece
from outlive.backup.plan.cutting import PIECE_LIMIT_BYTES, Whole, cuts, end_of
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import DEFAULT_SEGMENT_BYTES

SIZES = st.sampled_from([1024 * 1024, DEFAULT_SEGMENT_BYTES, 64 * 1024 * 1024])


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 28), SIZES)
def test_the_cuts_cover_what_was_flushed(position: int, more: int, segment_bytes: int) -> None:
    """In order, without a hole, up to the end; a piece stays within its segment and the limit."""
    reached, flushed = Lsn(position), Lsn(position + more)
    for cut in cuts(Timeline(3), reached, flushed, segment_bytes):
        match cut:
            case Piece(segment, start, end):
                assert segment.start + start == reached
                assert 0 <= start < end <= segment_bytes
                assert end - start <= PIECE_LIMIT_BYTES
            case Whole(segment):
                assert segment.start <= reached < segment.end <= flushed
        reached = end_of(cut)
    assert reached == flushed


def test_a_segment_that_is_nearly_through_is_not_sent_twice() -> None:
    """What is left of a finished segment goes as a piece when it is little, and as the segment when it is most."""
    end, timeline = Lsn(DEFAULT_SEGMENT_BYTES), Timeline(1)
    (little,) = cuts(timeline, Lsn(end - 100), end, DEFAULT_SEGMENT_BYTES)
    (most,) = cuts(timeline, Lsn(100), end, DEFAULT_SEGMENT_BYTES)
    assert isinstance(little, Piece)
    assert isinstance(most, Whole)

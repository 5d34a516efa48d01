"""Segments, their names and their LSNs agree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import WalSegment, is_segment, parse_history

SIZES = st.integers(20, 30).map(lambda power: 1 << power)
LSNS = st.integers(1, (1 << 63) - 1).map(Lsn)
TIMELINES = st.integers(1, (1 << 32) - 1).map(Timeline)


@given(TIMELINES, LSNS, SIZES)
def test_a_name_is_read_back(timeline: Timeline, lsn: Lsn, size: int) -> None:
    """A segment's name names that segment and no other, and holds the LSN that it was asked for."""
    segment = WalSegment.of(timeline, lsn, size)
    assert is_segment(segment.name)
    assert WalSegment.parse(segment.name, size) == segment
    assert segment.start <= lsn < segment.end


@given(TIMELINES, LSNS, SIZES)
def test_segments_lie_end_to_end(timeline: Timeline, lsn: Lsn, size: int) -> None:
    """The next one starts where this one ends, and names sort as positions do."""
    segment = WalSegment.of(timeline, lsn, size)
    following = segment.next()
    assert following.start == segment.end
    assert segment < following
    assert segment.name < following.name
    assert WalSegment.before(timeline, segment.end, size) == segment


@given(st.lists(st.tuples(st.integers(1, 9), LSNS), min_size=1, max_size=6))
def test_a_history_is_read_in_order(steps: list[tuple[int, Lsn]]) -> None:
    """Each switch leads to the parent of the next, the last one to the timeline itself."""
    numbers = [sum(step for step, _ in steps[: index + 1]) for index in range(len(steps))]
    text = "".join(
        f"{number}\t{lsn}\tno recovery target specified\n" for number, (_, lsn) in zip(numbers, steps, strict=True)
    )
    switches = parse_history(Timeline(numbers[-1] + 1), text)
    assert [switch.parent for switch in switches] == numbers
    assert [switch.timeline for switch in switches] == [*numbers[1:], numbers[-1] + 1]
    assert [switch.at for switch in switches] == [lsn for _, lsn in steps]

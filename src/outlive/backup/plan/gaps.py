"""Which WAL is missing between what is kept, told from the store's names and the timelines' histories alone.

Theory of operation. Recovery to the end of a timeline reads one segment at each place: on the timeline that was in
force there, which the history tells. A new timeline starts with a copy of the segment in which it was forked, so that
place is the new timeline's, and its parent has to reach only up to the place before. Retention removes WAL from the
old end, so what lies before the first kept segment of such a path is no gap; whatever is missing behind it is one.

A place is there if its segment is, or if streamed pieces cover it whole. The last place may be covered in part.

Invariant: any segment removed between two kept ones of a path is found, and nothing else is called missing.
Source: PostgreSQL documentation, "Timelines"; timeline.c (tliOfPointInHistory).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from outlive.backup.plan.archived import Archived, covered_bytes, pieces_by_segment
from outlive.model.lsn import Timeline
from outlive.model.wal import TimelineSwitch, WalSegment

Histories = Mapping[Timeline, tuple[TimelineSwitch, ...]]
"""What each history file says, by timeline."""


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Segments `first` to `last` (inclusive) of one timeline are missing."""

    first: WalSegment
    last: WalSegment

    @property
    def segments(self) -> int:
        """How many."""
        return self.last.number - self.first.number + 1

    def __str__(self) -> str:
        return self.first.name if self.first == self.last else f"{self.first.name} to {self.last.name}"


@dataclass(frozen=True, slots=True, order=True)
class HistoryMissing:
    """WAL of this timeline is kept, and no history tells what it was forked from."""

    timeline: Timeline

    def __str__(self) -> str:
        return f"{self.timeline:08X}.history"


@dataclass(frozen=True, slots=True)
class Continuity:
    """What is missing. `strange` are objects that have no place in an archive."""

    gaps: tuple[Gap, ...] = ()
    histories: tuple[HistoryMissing, ...] = ()
    strange: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing that is needed is missing; strange objects hurt nobody."""
        return not self.gaps and not self.histories


def find(archived: Archived, histories: Histories, segment_bytes: int) -> Continuity:
    """What is missing, on the path to the end of every timeline of which WAL is kept."""
    present = _present(archived)
    timelines = sorted({segment.timeline for segment in present})
    missing: list[Gap] = []
    for timeline in timelines:
        missing.extend(_missing(present, histories.get(timeline, ()), timeline, segment_bytes))
    unknown = tuple(HistoryMissing(each) for each in timelines if each > 1 and each not in histories)
    return Continuity(_merged(missing), unknown, archived.strange)


def timeline_at(number: int, switches: Sequence[TimelineSwitch], timeline: Timeline, segment_bytes: int) -> Timeline:
    """The timeline whose segment stands at place `number` on the path to `timeline`."""
    for switch in switches:
        if number < switch.at // segment_bytes:
            return switch.parent
    return timeline


def _present(archived: Archived) -> frozenset[WalSegment]:
    """What is there as a whole, and the furthest place of each timeline, which may be there in part."""
    covered = {segment: covered_bytes(pieces) for segment, pieces in pieces_by_segment(archived).items()}
    whole = archived.segments | {segment for segment, size in covered.items() if size == segment.size_bytes}
    newest: dict[Timeline, WalSegment] = {}
    for segment in sorted(whole | {segment for segment, size in covered.items() if size}):
        newest[segment.timeline] = segment
    return whole | frozenset(newest.values())


def _missing(
    present: frozenset[WalSegment], switches: Sequence[TimelineSwitch], timeline: Timeline, segment_bytes: int
) -> Iterable[Gap]:
    last = max(segment.number for segment in present if segment.timeline == timeline)
    places = sorted({each.number for each in present if each.number <= last and _on_path(each, switches, timeline)})
    for before, after in pairwise(places):
        if after > before + 1:
            yield from _by_timeline(before + 1, after - 1, switches, timeline, segment_bytes)


def _by_timeline(
    first: int, last: int, switches: Sequence[TimelineSwitch], timeline: Timeline, segment_bytes: int
) -> Iterable[Gap]:
    """Places `first` to `last`, cut where the path goes from one timeline to the next."""
    forks = sorted({switch.at // segment_bytes for switch in switches if first < switch.at // segment_bytes <= last})
    for start, end in pairwise([first, *forks, last + 1]):
        owner = timeline_at(start, switches, timeline, segment_bytes)
        yield Gap(WalSegment(owner, start, segment_bytes), WalSegment(owner, end - 1, segment_bytes))


def _on_path(segment: WalSegment, switches: Sequence[TimelineSwitch], timeline: Timeline) -> bool:
    return timeline_at(segment.number, switches, timeline, segment.size_bytes) == segment.timeline


def _merged(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    """The same places told once: two paths share what lies before their fork."""
    merged: list[Gap] = []
    for gap in sorted(gaps):
        if merged and gap.first <= merged[-1].last.next() and gap.first.timeline == merged[-1].last.timeline:
            merged[-1] = Gap(merged[-1].first, max(merged[-1].last, gap.last))
        else:
            merged.append(gap)
    return tuple(merged)

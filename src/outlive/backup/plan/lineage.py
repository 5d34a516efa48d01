"""A timeline's way back to the first one, and how far the archive's WAL goes along it.

A history file tells where each ancestor was left. The segment in which a timeline begins holds a copy of what its
parent wrote there before, so for each segment the newest timeline that has begun in it or before it counts.
Source: PostgreSQL xlogrecovery.c, XLogFileReadAnyTLI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, TimelineSwitch, WalSegment


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whatever was committed before `at` (aware) lies in the WAL of `timeline` before `end`."""

    timeline: Timeline
    end: Lsn
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFacts:
    """The WAL in the store.

    `segments` are whole; `tails` are segments still being written, with the LSN up to which their pieces follow each
    other; `histories` are the switches that lead to each timeline whose history file is there; `covered` tells how late
    the WAL goes, where that is known; `stored_at` when a segment came into the store, hence after all that is in it.
    """

    segments: frozenset[WalSegment] = frozenset()
    tails: Mapping[WalSegment, Lsn] = field(default_factory=dict)
    histories: Mapping[Timeline, tuple[TimelineSwitch, ...]] = field(default_factory=dict)
    covered: tuple[Coverage, ...] = ()
    stored_at: Mapping[WalSegment, datetime] = field(default_factory=dict)
    segment_bytes: int = DEFAULT_SEGMENT_BYTES

    def timelines(self) -> frozenset[Timeline]:
        """Every timeline that has WAL here."""
        return frozenset(segment.timeline for segment in (*self.segments, *self.tails))


@dataclass(frozen=True, slots=True)
class Span:
    """The part of the history that was written on one timeline; `end` is None for the last one."""

    timeline: Timeline
    begin: Lsn
    end: Lsn | None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The spans that lead to a timeline, oldest first."""

    spans: tuple[Span, ...]

    def holds(self, timeline: Timeline, lsn: Lsn) -> bool:
        """Whether what ends at `lsn` on `timeline` is part of this history."""
        return any(span.timeline == timeline and (span.end is None or lsn <= span.end) for span in self.spans)

    def includes(self, timeline: Timeline) -> bool:
        """Whether the timeline is on the way."""
        return any(span.timeline == timeline for span in self.spans)

    def owner(self, number: int, segment_bytes: int) -> Timeline:
        """The timeline under whose name recovery reads segment `number`."""
        begun = [span for span in self.spans if span.begin // segment_bytes <= number]
        return begun[-1].timeline

    def at(self, lsn: Lsn) -> Timeline:
        """The timeline on which what ends at `lsn` was written."""
        return next(span.timeline for span in self.spans if span.end is None or lsn <= span.end)


def trace(timeline: Timeline, histories: Mapping[Timeline, tuple[TimelineSwitch, ...]]) -> Lineage | None:
    """The way back from `timeline`; None where its history file is missing. The first timeline has none."""
    switches = histories.get(timeline, ())
    if not switches:
        return Lineage((Span(timeline, Lsn(0), None),)) if timeline == 1 else None
    begins = (Lsn(0), *(switch.at for switch in switches))
    ends = (*(switch.at for switch in switches), None)
    timelines = (switches[0].parent, *(switch.timeline for switch in switches))
    return Lineage(tuple(Span(*each) for each in zip(timelines, begins, ends, strict=True)))


@dataclass(frozen=True, slots=True)
class Reach:
    """The segments that follow each other from a start on, the LSN at which they end, and what is missing next.

    `missing` is None where the archive simply ends; else WAL that comes later is there.
    """

    segments: tuple[WalSegment, ...]
    end: Lsn
    missing: WalSegment | None


def reach(archive: ArchiveFacts, lineage: Lineage, start: Lsn) -> Reach:
    """How far WAL goes without a hole along the lineage, from the segment that holds `start`."""
    size = archive.segment_bytes
    last = max(
        (each.number for each in (*archive.segments, *archive.tails) if lineage.includes(each.timeline)), default=-1
    )
    found: list[WalSegment] = []
    for number in range(start // size, last + 1):
        segment = WalSegment(lineage.owner(number, size), number, size)
        if segment in archive.segments:
            found.append(segment)
            continue
        tail = archive.tails.get(segment)
        missing = segment if _anything_after(archive, lineage, number) else None
        if tail is None:
            return Reach(tuple(found), segment.start, missing)
        return Reach((*found, segment), tail, missing)
    return Reach(tuple(found), found[-1].end if found else start, None)


def _anything_after(archive: ArchiveFacts, lineage: Lineage, number: int) -> bool:
    size = archive.segment_bytes
    return any(
        each.number > number and each.timeline == lineage.owner(each.number, size)
        for each in (*archive.segments, *archive.tails)
    )

"""Names of WAL: its segments, the histories of its timelines, and the arithmetic between them and LSNs.

A segment's name is its timeline and its number: eight hexadecimal digits of the timeline, eight of the number divided
by the segments in 4 GiB, eight of the remainder. A segment starts where the one before ends; a new timeline starts
within a segment, and holds a copy of what came before in it.
Source: PostgreSQL xlog_internal.h (XLogFileName), timeline.c (readTimeLineHistory).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from outlive.model.lsn import Lsn, Timeline

DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024
_LOG_BYTES = 1 << 32
_SEGMENT = re.compile(r"[0-9A-F]{24}")
_HISTORY = re.compile(r"[0-9A-F]{8}\.history")
_BACKUP_HISTORY = re.compile(r"[0-9A-F]{24}\.[0-9A-F]{8}\.backup")
_PARTIAL = re.compile(r"[0-9A-F]{24}\.partial")


@dataclass(frozen=True, slots=True, order=True)
class WalSegment:
    """One segment; ordered by timeline, then by position. `number` counts segments from the WAL's beginning."""

    timeline: Timeline
    number: int
    size_bytes: int = DEFAULT_SEGMENT_BYTES

    @classmethod
    def parse(cls, name: str, size_bytes: int = DEFAULT_SEGMENT_BYTES) -> Self:
        """Read the name of a segment.

        Raises:
            ValueError: it names no segment of this size.
        """
        per_log = _LOG_BYTES // size_bytes
        if _SEGMENT.fullmatch(name) is None or int(name[16:], 16) >= per_log or int(name[:8], 16) == 0:
            raise ValueError(f"not the name of a WAL segment of {size_bytes} bytes: {name!r}")
        return cls(Timeline(int(name[:8], 16)), int(name[8:16], 16) * per_log + int(name[16:], 16), size_bytes)

    @classmethod
    def of(cls, timeline: Timeline, lsn: Lsn, size_bytes: int = DEFAULT_SEGMENT_BYTES) -> Self:
        """The segment that holds the byte at `lsn`; at a boundary, the one that starts there."""
        return cls(timeline, lsn // size_bytes, size_bytes)

    @classmethod
    def before(cls, timeline: Timeline, lsn: Lsn, size_bytes: int = DEFAULT_SEGMENT_BYTES) -> Self:
        """The segment that holds the last byte before `lsn`, which is where WAL that ends at `lsn` ends."""
        return cls.of(timeline, Lsn(lsn - 1), size_bytes)

    @property
    def name(self) -> str:
        """As PostgreSQL names the file."""
        per_log = _LOG_BYTES // self.size_bytes
        return f"{self.timeline:08X}{self.number // per_log:08X}{self.number % per_log:08X}"

    @property
    def start(self) -> Lsn:
        """Its first byte."""
        return Lsn(self.number * self.size_bytes)

    @property
    def end(self) -> Lsn:
        """The first byte after it."""
        return Lsn((self.number + 1) * self.size_bytes)

    def next(self) -> WalSegment:
        """The one after it on the same timeline."""
        return WalSegment(self.timeline, self.number + 1, self.size_bytes)


def is_segment(name: str) -> bool:
    """Whether a file of this name is a whole segment."""
    return _SEGMENT.fullmatch(name) is not None


def is_history(name: str) -> bool:
    """Whether it is a timeline's history."""
    return _HISTORY.fullmatch(name) is not None


def is_backup_history(name: str) -> bool:
    """Whether it tells of a base backup."""
    return _BACKUP_HISTORY.fullmatch(name) is not None


def is_partial(name: str) -> bool:
    """Whether it is the last, unfinished segment of a timeline that was left."""
    return _PARTIAL.fullmatch(name) is not None


def history_name(timeline: Timeline) -> str:
    """The name of a timeline's history; timeline 1 has none."""
    return f"{timeline:08X}.history"


@dataclass(frozen=True, slots=True)
class TimelineSwitch:
    """`timeline` left `parent` at `at`: what lies before is the parent's, what follows its own."""

    timeline: Timeline
    parent: Timeline
    at: Lsn


def parse_history(timeline: Timeline, text: str) -> tuple[TimelineSwitch, ...]:
    """The switches that lead to `timeline`, oldest first, from the text of its history file.

    Raises:
        ValueError: the text is no history of this timeline.
    """
    parents = [_entry(line) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    numbers = [parent for parent, _ in parents] + [timeline]
    if not parents or any(number >= after for number, after in pairwise(numbers)):
        raise ValueError(f"not the history of timeline {timeline}: {text[:200]!r}")
    return tuple(TimelineSwitch(after, parent, at) for (parent, at), after in zip(parents, numbers[1:], strict=True))


def _entry(line: str) -> tuple[Timeline, Lsn]:
    fields = line.split(None, 2)
    if len(fields) < 2 or not fields[0].isdigit():
        raise ValueError(f"not a line of a timeline's history: {line[:200]!r}")
    return Timeline(int(fields[0])), Lsn.parse(fields[1])

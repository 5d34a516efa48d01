"""What the first page of a WAL segment says of it: whose it is, and where it belongs.

PostgreSQL reuses files of old segments under new names, and anybody can copy a file. The header of the first page
names the cluster, the timeline and the position, so a file that is not what its name says is told from one that is.
Source: PostgreSQL access/xlog_internal.h (XLogLongPageHeaderData).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import WalSegment

_LONG_HEADER = struct.Struct("=HHIQIxxxxQII")
HEADER_BYTES = _LONG_HEADER.size
_LONG_FLAG = 0x0002
_MAGIC = range(0xD110, 0xD200)
"""PostgreSQL 15 writes 0xD110; each release counts on."""


@dataclass(frozen=True, slots=True)
class FirstPage:
    """The header of a segment's first page."""

    timeline: Timeline
    start: Lsn
    system_identifier: int
    segment_bytes: int


@dataclass(frozen=True, slots=True)
class Foreign:
    """The file is not the segment that it is called; `reason` says why."""

    reason: str


def read_first_page(page: bytes) -> FirstPage | Foreign:
    """Read the header in the first bytes of a segment."""
    if len(page) < HEADER_BYTES:
        return Foreign("it is cut short before the end of its header")
    magic, flags, timeline, start, _, system_identifier, segment_bytes, _ = _LONG_HEADER.unpack_from(page)
    if magic not in _MAGIC or not flags & _LONG_FLAG:
        return Foreign("it does not begin like a WAL segment")
    return FirstPage(Timeline(timeline), Lsn(start), system_identifier, segment_bytes)


def judge(segment: WalSegment, page: bytes, size_bytes: int, system_identifier: int | None) -> FirstPage | Foreign:
    """Whether a file of `size_bytes` that begins with `page` is `segment` of this cluster (None: of any)."""
    found = read_first_page(page)
    match found:
        case Foreign():
            return found
        case FirstPage(segment_bytes=expected) if size_bytes != expected:
            return Foreign(f"it has {size_bytes} bytes, and a segment {expected}")
        case FirstPage(start=start) if start != segment.start:
            return Foreign(f"it begins at {start}, not at {segment.start}")
        case FirstPage(timeline=timeline) if timeline > segment.timeline:
            return Foreign(f"it is of timeline {timeline}")
        case FirstPage(system_identifier=system) if system_identifier not in (None, system):
            return Foreign(f"it is of another cluster, whose system identifier is {system}")
    return found

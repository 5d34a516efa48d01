"""What a WAL segment says of itself in its first page.

A segment of another cluster, or one stored under another's name, is whole by every checksum; PostgreSQL takes it for
the end of the WAL, and recovery ends early without an error. So it is looked at before recovery sees it.
Source: PostgreSQL xlog_internal.h, XLogLongPageHeaderData.
"""

from __future__ import annotations

import struct
import sys

from outlive.model.lsn import Lsn
from outlive.model.wal import WalSegment

_HEADER = struct.Struct("=HHIQI4xQII")
_LONG = 0x0002


def strangeness(content: bytes, segment: WalSegment, system_identifier: str) -> str | None:
    """Why this is not the segment that its name says; None if it is. As written by a machine of this byte order."""
    if len(content) != segment.size_bytes:
        return f"it has {len(content)} bytes instead of {segment.size_bytes}"
    _, info, timeline, address, _, identifier, size_bytes, _ = _HEADER.unpack_from(content)
    if not info & _LONG or size_bytes != segment.size_bytes:
        return f"it does not begin like a WAL segment of {segment.size_bytes} bytes ({sys.byteorder}-endian)"
    if str(identifier) != system_identifier:
        return f"it belongs to the cluster {identifier}, not to {system_identifier}"
    if address != segment.start:
        return f"it begins at {Lsn(address)} instead of {segment.start}: another segment's content"
    if timeline > segment.timeline:
        return f"it was written on timeline {timeline}"
    return None

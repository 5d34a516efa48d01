"""Reads PostgreSQL's own manifest of a base backup: from where to where its WAL goes.

Source: PostgreSQL documentation, "Backup Manifest Format".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec

from outlive.errors import BackupError
from outlive.model.lsn import Lsn, Timeline


class _Range(msgspec.Struct):
    timeline: Annotated[int, msgspec.Meta(ge=1)] = msgspec.field(name="Timeline")
    start: str = msgspec.field(name="Start-LSN")
    end: str = msgspec.field(name="End-LSN")


class _Manifest(msgspec.Struct):
    ranges: list[_Range] = msgspec.field(name="WAL-Ranges")
    files: list[msgspec.Raw] = msgspec.field(name="Files")


@dataclass(frozen=True, slots=True)
class WalRange:
    """The WAL that makes a base backup consistent, and how many files it has."""

    timeline: Timeline
    start: Lsn
    end: Lsn
    files: int


def read(content: bytes) -> WalRange:
    """What a manifest says.

    Raises:
        BackupError: it is none; or the backup went over a change of the timeline, which happens at a failover.
    """
    try:
        found = msgspec.json.decode(content, type=_Manifest)
        spans = [(Timeline(each.timeline), Lsn.parse(each.start), Lsn.parse(each.end)) for each in found.ranges]
    except (msgspec.MsgspecError, ValueError) as error:
        raise BackupError(f"PostgreSQL's manifest of the backup can't be read: {error}") from None
    if len(spans) != 1:
        raise BackupError(
            f"a failover happened while the backup was taken: its WAL lies on {len(spans)} timelines",
            hint="Take it again.",
        )
    timeline, start, end = spans[0]
    return WalRange(timeline, start, end, len(found.files))

"""Whether a standby lacks WAL that its primary has removed, and which segments out of the store help it on.

Theory of operation. A standby that was away for long asks its primary for WAL that is gone, again and again, and
Patroni leaves it at that. PostgreSQL replays whatever it finds in `pg_wal`, so its archiver may lay the segments there:

    its position moves                        it is served; nothing to do
    it has not moved for `PATIENCE_S`, and    the primary has finished that segment long ago, and the standby does
    the store has its segment as a whole      not get it: that segment, and a few behind it
    it has not moved, and the store has not   nothing was written, or nobody has it: nothing to do

There is no `restore_command`: PostgreSQL would run one at each start and in each failover, and wait for it.
Source: PostgreSQL documentation, "Standby Server Operation" (files copied to pg_wal at any time are replayed).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outlive.backup.plan.gaps import timeline_at
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import TimelineSwitch, WalSegment

PATIENCE_S = 5.0
AHEAD = 4
"""Segments laid down at a time; PostgreSQL removes them as it goes on."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the standby has got to, and since when (monotonic seconds) it has not moved."""

    position: Lsn
    since: float


def after_look(before: Standing | None, position: Lsn, now: float) -> Standing:
    """What is known after one more look."""
    return before if before is not None and before.position == position else Standing(position, now)


def waits(standing: Standing, now: float) -> bool:
    """Whether it has stood still for too long."""
    return now - standing.since >= PATIENCE_S


def wanted(
    position: Lsn, timeline: Timeline, switches: Sequence[TimelineSwitch], segment_bytes: int
) -> tuple[WalSegment, ...]:
    """The segments from `position` on, in order, each of the timeline in force there on the way to `timeline`."""
    first = position // segment_bytes
    return tuple(
        WalSegment(timeline_at(number, switches, timeline, segment_bytes), number, segment_bytes)
        for number in range(first, first + AHEAD)
    )

"""Whether recovery arrived where it was sent, told from what the server says of itself afterwards.

PostgreSQL ends recovery without an error where the WAL that it finds ends, so that it runs is no proof. And where
nothing was written after the wanted moment, it finds no record to stop at and gives up, although all is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from outlive.backup.plan.recovery import RecoveryPlan
from outlive.backup.plan.targets import BackupEnd, Latest, LsnTarget, NameTarget, TimeTarget
from outlive.model.lsn import Lsn, Timeline

PAGE_HEADER_BYTES = 40
"""Between a record that ends with its page and the next one; an LSN may be told from either side of it."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """The end of the last record replayed, the last commit in it, and the timeline that the server now writes."""

    lsn: Lsn
    last_commit_at: datetime | None
    timeline: Timeline


def complaint(plan: RecoveryPlan, arrival: Arrival) -> str | None:
    """Why this is not where the plan leads; None if it is."""
    if arrival.lsn < plan.backup.end:
        return f"recovery ended at {arrival.lsn}, before the end of backup {plan.backup.id} at {plan.backup.end}"
    match plan.target:
        case TimeTarget(at):
            late = arrival.last_commit_at is not None and arrival.last_commit_at > at
            return f"a commit of {arrival.last_commit_at} is there, later than {at}" if late else None
        case LsnTarget(lsn):
            return f"recovery went on to {arrival.lsn}, beyond {lsn}" if arrival.lsn > lsn else None
        case Latest():
            early = bool(plan.wal) and arrival.lsn < plan.wal[-1].start
            return f"recovery ended at {arrival.lsn}, although WAL is there up to {plan.reach}" if early else None
        case NameTarget() | BackupEnd():
            return None
        case _:
            assert_never(plan.target)


def ends_at_the_end(plan: RecoveryPlan) -> bool:
    """Whether the target, where no record behind it is found, is the end of the WAL."""
    known = plan.until is not None and plan.reach + PAGE_HEADER_BYTES >= plan.until
    return known and isinstance(plan.target, TimeTarget | LsnTarget | BackupEnd)


def has_all(plan: RecoveryPlan, arrival: Arrival) -> bool:
    """Whether everything that was asked for was replayed, when the WAL ended before the target.

    The last piece of WAL may end within a record, which has no commit that anybody was told of.
    """
    if plan.until is None:
        return False
    if isinstance(plan.target, LsnTarget):
        return arrival.lsn + PAGE_HEADER_BYTES >= plan.until
    return arrival.lsn >= plan.until - plan.until % plan.segment_bytes

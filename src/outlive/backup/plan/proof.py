"""What can be proved of a commit, from where it lies in the WAL.

A commit is archived when WAL without a hole goes beyond it on its timeline, covered when some backup can be rolled
forward over it, and proved when a restore test that passed went beyond it. Each of these is a fact on its own: a commit
may be archived and, its backup having expired, not restorable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from outlive.backup.plan.lineage import trace
from outlive.backup.plan.recovery import CatalogFacts, RecoveryPlan, Wish, choose
from outlive.backup.plan.targets import LsnTarget
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import WalSegment


@dataclass(frozen=True, slots=True)
class Place:
    """Where a commit lies: everything up to `lsn` on `timeline` has it."""

    timeline: Timeline
    lsn: Lsn


@dataclass(frozen=True, slots=True)
class Restored:
    """A restore test that passed: which backup, up to where, when it ended."""

    backup: str
    timeline: Timeline
    lsn: Lsn
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is known of a commit.

    `archived_in` is the segment that holds it, `archived_at` when that came into the store. `covered_by` is the backup
    that it would be restored from; None with the reason in `uncovered`. `proved` is the last restore test beyond it.
    """

    archived_in: WalSegment | None
    archived_at: datetime | None
    covered_by: str | None
    uncovered: str | None
    proved: Restored | None


def prove(place: Place, facts: CatalogFacts, tests: Iterable[Restored], now: datetime) -> Proof:
    """What the store proves of the commit."""
    archive = facts.archive
    segment = WalSegment.before(place.timeline, place.lsn, archive.segment_bytes)
    held = segment in archive.segments or archive.tails.get(segment, Lsn(0)) >= place.lsn
    plan = choose(facts, Wish(target=LsnTarget(place.lsn), timeline=_newest(place, facts)), now)
    passed = [test for test in tests if test.lsn >= place.lsn and _on_the_way(place, test.timeline, facts)]
    return Proof(
        archived_in=segment if held else None,
        archived_at=archive.stored_at.get(segment) if held else None,
        covered_by=plan.backup.id if isinstance(plan, RecoveryPlan) else None,
        uncovered=None if isinstance(plan, RecoveryPlan) else plan.reason,
        proved=max(passed, key=lambda test: test.at, default=None),
    )


def _newest(place: Place, facts: CatalogFacts) -> Timeline:
    """The newest timeline that has the commit in its past; its own, where none does."""
    known = facts.archive.timelines() | {backup.timeline for backup in facts.backups} | {place.timeline}
    return max((timeline for timeline in known if _on_the_way(place, timeline, facts)), default=place.timeline)


def _on_the_way(place: Place, timeline: Timeline, facts: CatalogFacts) -> bool:
    lineage = trace(timeline, facts.archive.histories)
    return lineage is not None and lineage.holds(place.timeline, place.lsn)

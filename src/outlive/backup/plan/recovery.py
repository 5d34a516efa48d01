"""Which backup and which WAL bring a wanted moment back, or why nothing does.

A plan is a chain (a full backup and the incrementals on it), a timeline, and WAL without a hole from the backup's end
to the target along that timeline's way back. Invariants: the chain ends before the target; it lies on the way; every
segment is in the archive under the name that recovery will ask for. The newest backup that allows it is taken, as
the least WAL is to be replayed then; where none does, the refusal is that of the one that came nearest.

The moment is refused rather than approximated: after the last one that the store is known to cover there may have
been commits that never reached it.
Source: PostgreSQL documentation, "Continuous Archiving and Point-in-Time Recovery".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from outlive.backup.plan.lineage import ArchiveFacts, Lineage, Reach, reach, trace
from outlive.backup.plan.targets import (
    BackupEnd,
    Impossible,
    Latest,
    LsnTarget,
    NameTarget,
    Refusal,
    Target,
    TimeTarget,
)
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, WalSegment, history_name

CHAIN_LIMIT = 1000
_LIST = "`outlive backup list` shows what can be restored."


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFacts:
    """A physical backup that is whole; `parent` is what an incremental one is based on, `finished_at` aware."""

    id: str
    timeline: Timeline
    start: Lsn
    end: Lsn
    finished_at: datetime
    parent: str | None = None
    key_id: str | None = None
    raw_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PointFacts:
    """A named restore point."""

    name: str
    lsn: Lsn
    timeline: Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogFacts:
    """Everything that a restore can be made of. `keys` are the ids of the keys at hand."""

    backups: tuple[BackupFacts, ...]
    archive: ArchiveFacts = field(default_factory=ArchiveFacts)
    points: Mapping[str, PointFacts] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for: a target, and perhaps the backup to begin with and the timeline to end on."""

    target: Target
    backup: str | None = None
    timeline: Timeline | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPlan:
    """The chain, its full backup first; the timeline; the WAL, and the LSN up to which it goes.

    What was asked for lies before `until`; None where nothing tells.
    """

    chain: tuple[BackupFacts, ...]
    timeline: Timeline
    target: Target
    wal: tuple[WalSegment, ...]
    reach: Lsn
    until: Lsn | None = None
    segment_bytes: int = DEFAULT_SEGMENT_BYTES

    @property
    def backup(self) -> BackupFacts:
        """The backup that recovery starts from."""
        return self.chain[-1]


@dataclass(frozen=True, slots=True)
class _Goal:
    """A target with all that the catalog says of it; `until` is the LSN that the WAL has to reach, if it is known."""

    target: Target
    timeline: Timeline
    lineage: Lineage
    until: Lsn | None = None


def choose(facts: CatalogFacts, wish: Wish, now: datetime) -> RecoveryPlan | Refusal:
    """The restore that brings back what is wished for."""
    candidates = _candidates(facts, wish.backup)
    if isinstance(candidates, Refusal):
        return candidates
    goal = _goal(facts, wish, candidates, now)
    if isinstance(goal, Refusal):
        return goal
    refusals: list[Refusal] = []
    for backup in candidates:
        plan = _from(backup, facts, goal)
        if isinstance(plan, RecoveryPlan):
            return plan
        refusals.append(plan)
    return next((each for each in refusals if each.kind is not Impossible.BEFORE_THE_OLDEST), refusals[-1])


def _candidates(facts: CatalogFacts, wanted: str | None) -> list[BackupFacts] | Refusal:
    found = [backup for backup in facts.backups if wanted in (None, backup.id)]
    if not found and wanted is not None:
        return Refusal(Impossible.NO_BACKUP, f"there is no finished backup {wanted} to restore", _LIST)
    if not found:
        return Refusal(Impossible.NO_BACKUP, "the store holds no finished backup", "`outlive backup create` makes one.")
    return sorted(found, key=lambda backup: (backup.finished_at, backup.id), reverse=True)


def _goal(facts: CatalogFacts, wish: Wish, candidates: list[BackupFacts], now: datetime) -> _Goal | Refusal:
    point = facts.points.get(wish.target.name) if isinstance(wish.target, NameTarget) else None
    if isinstance(wish.target, NameTarget) and point is None:
        known = ", ".join(sorted(facts.points)) or "none"
        return Refusal(
            Impossible.UNKNOWN_NAME, f"there is no restore point {wish.target.name!r}", f"There are: {known}."
        )
    timeline = wish.timeline or _timeline(facts, wish.target, candidates, point)
    lineage = trace(timeline, facts.archive.histories)
    if lineage is None:
        return Refusal(
            Impossible.IN_A_GAP,
            f"the store lacks {history_name(timeline)}, which tells where timeline {timeline} comes from",
            "Upload it again from pg_wal of a node that has it, or choose an older timeline with --timeline.",
        )
    match wish.target:
        case TimeTarget(at):
            return _goal_of_time(facts, wish.target, at, timeline, lineage, now)
        case LsnTarget(lsn):
            return _Goal(wish.target, timeline, lineage, lsn)
        case NameTarget():
            return _Goal(wish.target, timeline, lineage, point.lsn if point else None)
        case Latest() | BackupEnd():
            return _Goal(wish.target, timeline, lineage)
        case _:
            assert_never(wish.target)


def _timeline(facts: CatalogFacts, target: Target, candidates: list[BackupFacts], point: PointFacts | None) -> Timeline:
    """The newest one, unless what is wanted lies on another that was left before it came about."""
    if isinstance(target, BackupEnd):
        return candidates[0].timeline
    newest = max(facts.archive.timelines() | {backup.timeline for backup in facts.backups})
    lineage = trace(newest, facts.archive.histories)
    if point is None or (lineage is not None and lineage.holds(point.timeline, point.lsn)):
        return newest
    return point.timeline


def _goal_of_time(
    facts: CatalogFacts, target: Target, at: datetime, timeline: Timeline, lineage: Lineage, now: datetime
) -> _Goal | Refusal:
    if at > now:
        return Refusal(Impossible.IN_THE_FUTURE, f"{at.isoformat()} is in the future", f"Now is {now.isoformat()}.")
    known = sorted(
        (each for each in facts.archive.covered if lineage.holds(each.timeline, each.end)), key=lambda each: each.end
    )
    after = next((each for each in known if each.at >= at), None)
    if known and after is None:
        return Refusal(
            Impossible.IN_THE_FUTURE,
            f"what was committed before {known[-1].at.isoformat()} is known to be in the store, "
            f"not so what was before {at.isoformat()}",
            "--latest restores all that is there.",
        )
    return _Goal(target, timeline, lineage, after.end if after else None)


def _from(backup: BackupFacts, facts: CatalogFacts, goal: _Goal) -> RecoveryPlan | Refusal:
    chain = _chain(backup, facts)
    if isinstance(chain, Refusal):
        return chain
    refusal = _too_late(backup, goal) or _elsewhere(backup, goal)
    if refusal is not None:
        return refusal
    if isinstance(goal.target, BackupEnd):
        return RecoveryPlan(
            chain=chain, timeline=goal.timeline, target=goal.target, wal=(), reach=backup.end, until=backup.end
        )
    # What ends with the backup lies in it; a copy taken from a standby may hold its last segment in part only.
    first = WalSegment.before(backup.timeline, backup.end, facts.archive.segment_bytes)
    found = reach(facts.archive, goal.lineage, first.start)
    refusal = _short(backup, goal, found, facts.archive)
    if refusal is not None:
        return refusal
    return RecoveryPlan(
        chain=chain,
        timeline=goal.timeline,
        target=goal.target,
        wal=found.segments,
        reach=max(found.end, backup.end),
        until=goal.until,
        segment_bytes=facts.archive.segment_bytes,
    )


def _chain(backup: BackupFacts, facts: CatalogFacts) -> tuple[BackupFacts, ...] | Refusal:
    by_id = {each.id: each for each in facts.backups}
    chain = [backup]
    while (parent := chain[0].parent) is not None:
        if parent not in by_id or len(chain) == CHAIN_LIMIT:
            return Refusal(
                Impossible.CHAIN_BROKEN,
                f"backup {backup.id} builds on {parent}, which is not in the store",
                "Choose another backup; take a full one now.",
            )
        chain.insert(0, by_id[parent])
    for each in chain:
        if each.key_id is not None and each.key_id not in facts.keys:
            return Refusal(
                Impossible.KEY_MISSING,
                f"backup {each.id} is encrypted with key {each.key_id}, which is not at hand",
                "Give it with --key-file or OUTLIVE_BACKUP_KEY.",
            )
    return tuple(chain)


def _too_late(backup: BackupFacts, goal: _Goal) -> Refusal | None:
    match goal.target:
        case TimeTarget(at):
            late, wanted = at < backup.finished_at, at.isoformat()
        case LsnTarget() | NameTarget():
            late, wanted = goal.until is not None and goal.until < backup.end, str(goal.until)
        case Latest() | BackupEnd():
            return None
        case _:
            assert_never(goal.target)
    if not late:
        return None
    return Refusal(
        Impossible.BEFORE_THE_OLDEST,
        f"{wanted} is before backup {backup.id} ends ({backup.finished_at.isoformat()}, {backup.end})",
        "Choose a moment after it, or an older backup where there is one.",
    )


def _elsewhere(backup: BackupFacts, goal: _Goal) -> Refusal | None:
    if goal.lineage.holds(backup.timeline, backup.end):
        return None
    return Refusal(
        Impossible.ON_ANOTHER_TIMELINE,
        f"backup {backup.id} ends at {backup.end} on timeline {backup.timeline}, "
        f"which is not on the way to timeline {goal.timeline}",
        f"Choose another backup, or --timeline {backup.timeline}.",
    )


def _short(backup: BackupFacts, goal: _Goal, found: Reach, archive: ArchiveFacts) -> Refusal | None:
    """Why the WAL that was found does not do, if it doesn't."""
    end = max(found.end, backup.end)
    if goal.until is not None and end >= goal.until:
        return None
    if found.missing is not None and not _may_stop_before(goal.target, found, archive):
        return Refusal(
            Impossible.IN_A_GAP,
            f"WAL segment {found.missing.name} is missing, so nothing after {end} can be reached "
            f"from backup {backup.id}",
            f"--to-lsn {end} restores up to the gap; a newer backup is needed for what is behind it.",
        )
    if goal.until is not None and found.missing is None:
        return Refusal(
            Impossible.IN_THE_FUTURE,
            f"the archive ends at {end}, before {goal.until}",
            "--latest restores all that is there.",
        )
    return None


def _may_stop_before(target: Target, found: Reach, archive: ArchiveFacts) -> bool:
    """Whether the moment may lie in WAL that came into the store at that time or later, before the gap."""
    if not isinstance(target, TimeTarget):
        return False
    return any(stored >= target.at for each in found.segments if (stored := archive.stored_at.get(each)) is not None)

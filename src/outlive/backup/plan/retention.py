"""What may be removed, and why the rest may not. Pure.

Backups are removed by chains: a full one goes with all the incremental ones on it, or none of them goes. A chain stays
if any of these holds; the first one is the reason that is told:

- it is kept by name, or a backup that is being taken is based on it;
- it is among the newest `count` chains, or there is no newer one;
- it began within the last `days`; or it is the newest of those from before, without which the first of these days could
  not be restored;
- it holds the newest verified backup: however many days of unverified ones follow, one that is proved stays.

WAL is removed only if it ends at or before the place where the oldest chain begins that stays for the sake of any
moment since. This goes by position alone, whatever the timeline: positions go on growing over a failover, so nothing
that a recovery over it needs lies below that place. A chain that stays only because of a keep doesn't hold all the WAL
since then, but the WAL of its own backups. Without a chain that stays no WAL is removed. Histories always stay.

Invariant (checked by Hypothesis): after every removal each backup that stays has its parents and its WAL; the newest
chain and the newest verified one stay; a moment of the last `days` that could be restored still can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from outlive.backup.layout import Kind
from outlive.model.lsn import Lsn
from outlive.model.wal import WalSegment

UNFINISHED_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A backup in the store. `start` and `end` of a physical one; moments are aware."""

    id: str
    kind: Kind
    started_at: datetime
    finished_at: datetime
    parent: str | None = None
    start: Lsn | None = None
    end: Lsn | None = None
    verified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """An ID without a manifest; `touched_at` is when something was last written for it."""

    id: str
    touched_at: datetime
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long. `days` is a window in which every moment stays restorable; `count` is in full backups.

    `logical_days` is for logical ones, where they are kept for another time than `days`.
    """

    days: float | None = None
    count: int | None = None
    logical_days: float | None = None
    unfinished_after: timedelta = UNFINISHED_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that is there. `keeps` is the names of keeps by the ID of the backup."""

    backups: tuple[Held, ...]
    unfinished: tuple[Unfinished, ...] = ()
    keeps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Hold(Enum):
    """How much WAL a chain that stays holds: all since its beginning, its backups' own, or none."""

    SINCE = "since"
    OWN = "own"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Stays:
    """A backup that is not removed, and why."""

    id: str
    reason: str
    hold: Hold = Hold.SINCE


@dataclass(frozen=True, slots=True)
class Goes:
    """A backup that is removed, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is to be done: backups in the order in which they are removed, those that depend on others first.

    `horizon` is where the WAL begins that has to stay; None where none may be removed.
    """

    goes: tuple[Goes, ...] = ()
    stays: tuple[Stays, ...] = ()
    abandoned: tuple[str, ...] = ()
    horizon: Lsn | None = None
    spared: tuple[tuple[Lsn, Lsn], ...] = ()

    def removes(self, segment: WalSegment) -> bool:
        """Whether WAL of this segment, whole or in pieces, is removed."""
        if self.horizon is None or segment.end > self.horizon:
            return False
        return not any(segment.start < end and start < segment.end for start, end in self.spared)


def plan(facts: Facts, rules: Rules, now: datetime) -> Retention:
    """What of it goes."""
    chains = _chains(facts.backups)
    judged = [
        *((chain, _judge(chain, chains, facts, rules, now)) for chain in chains),
        *(((dump,), _judge_dump(dump, facts, rules, now)) for dump in _dumps(facts.backups)),
    ]
    stays = tuple(Stays(each.id, said.reason, said.hold) for chain, said in judged if said.stays for each in chain)
    goes = tuple(Goes(each.id, said.reason) for chain, said in judged if not said.stays for each in reversed(chain))
    return Retention(
        goes=goes,
        stays=stays,
        abandoned=tuple(each.id for each in facts.unfinished if now - each.touched_at > rules.unfinished_after),
        horizon=_horizon(facts.backups, stays),
        spared=_spared(facts.backups, stays),
    )


@dataclass(frozen=True, slots=True)
class _Verdict:
    stays: bool
    reason: str
    hold: Hold = Hold.SINCE


def _chains(backups: Iterable[Held]) -> list[tuple[Held, ...]]:
    """Full backups with what is based on them, in the order of their beginning; parents before what depends on them.

    An incremental one whose parent is not there makes a chain of its own: it can't be restored.
    """
    physical = sorted((each for each in backups if each.kind is not Kind.LOGICAL), key=_order)
    roots: dict[str, str] = {}
    chains: dict[str, list[Held]] = {}
    for each in physical:
        root = roots.get(each.parent, each.id) if each.parent is not None else each.id
        roots[each.id] = root
        chains.setdefault(root, []).append(each)
    return [tuple(chain) for chain in chains.values()]


def _dumps(backups: Iterable[Held]) -> list[Held]:
    return sorted((each for each in backups if each.kind is Kind.LOGICAL), key=_order)


def _order(backup: Held) -> tuple[datetime, str]:
    return (backup.started_at, backup.id)


def _judge(
    chain: Sequence[Held], chains: Sequence[Sequence[Held]], facts: Facts, rules: Rules, now: datetime
) -> _Verdict:
    whole = [each for each in chains if each[0].parent is None]
    newer = sum(1 for each in whole if _order(each[0]) > _order(chain[0]))
    physical = (each for each in facts.backups if each.kind is not Kind.LOGICAL)
    verified = max((each for each in physical if each.verified), key=_order, default=None)
    if chain[0].parent is None:
        if newer == 0:
            return _Verdict(True, "the newest chain")
        if rules.count is not None and newer < rules.count:
            return _Verdict(True, f"among the newest {rules.count}")
        if (reason := _within(chain, whole, rules, now)) is not None:
            return _Verdict(True, reason)
        if verified is not None and verified in chain:
            return _Verdict(True, f"{verified.id} is the newest verified backup")
    if (needed := _needed(chain, facts)) is not None:
        return needed
    if chain[0].parent is not None:
        return _broken(chain, rules, now)
    return _expired(rules)


def _within(chain: Sequence[Held], whole: Sequence[Sequence[Held]], rules: Rules, now: datetime) -> str | None:
    if rules.days is None:
        return None if rules.count is not None else "nothing says how long"
    since = now - timedelta(days=rules.days)
    if chain[0].finished_at >= since:
        return f"of the last {rules.days:g} days"
    before = [each for each in whole if each[0].finished_at < since]
    if chain[0] == max((each[0] for each in before), key=_order):
        return f"the last {rules.days:g} days begin within it"
    return None


def _needed(chain: Sequence[Held], facts: Facts) -> _Verdict | None:
    for each in chain:
        if names := facts.keeps.get(each.id):
            return _Verdict(True, f"{each.id} is kept by {', '.join(names)}", Hold.OWN)
    ids = {each.id for each in chain}
    for unfinished in facts.unfinished:
        if unfinished.parent in ids:
            return _Verdict(True, f"{unfinished.id}, which is being taken, is based on it")
    return None


def _broken(chain: Sequence[Held], rules: Rules, now: datetime) -> _Verdict:
    """Of a parent that is not there nothing can be restored; it is left to be looked at for as long as the others."""
    since = now - timedelta(days=rules.days or 0)
    if chain[-1].finished_at >= since:
        return _Verdict(True, f"{chain[0].parent}, which it is based on, is not there; of the last days", Hold.NONE)
    return _Verdict(False, f"{chain[0].parent}, which it is based on, is not there", Hold.NONE)


def _judge_dump(dump: Held, facts: Facts, rules: Rules, now: datetime) -> _Verdict:
    newer = sum(1 for each in _dumps(facts.backups) if _order(each) > _order(dump))
    rules = rules if rules.logical_days is None else replace(rules, days=rules.logical_days)
    if newer == 0:
        return _Verdict(True, "the newest logical backup", Hold.NONE)
    if names := facts.keeps.get(dump.id):
        return _Verdict(True, f"kept by {', '.join(names)}", Hold.NONE)
    if rules.count is not None and newer < rules.count:
        return _Verdict(True, f"among the newest {rules.count} logical ones", Hold.NONE)
    if rules.days is not None and dump.finished_at >= now - timedelta(days=rules.days):
        return _Verdict(True, f"of the last {rules.days:g} days", Hold.NONE)
    if rules.days is None and rules.count is None:
        return _Verdict(True, "nothing says how long", Hold.NONE)
    return _expired(rules)


def _expired(rules: Rules) -> _Verdict:
    limits = [f"{rules.days:g} days"] if rules.days is not None else []
    limits += [f"the newest {rules.count}"] if rules.count is not None else []
    return _Verdict(False, f"beyond {' and '.join(limits)}")


def _horizon(backups: Iterable[Held], stays: Iterable[Stays]) -> Lsn | None:
    holding = {each.id for each in stays if each.hold is Hold.SINCE}
    return min((each.start for each in backups if each.id in holding and each.start is not None), default=None)


def _spared(backups: Iterable[Held], stays: Iterable[Stays]) -> tuple[tuple[Lsn, Lsn], ...]:
    own = {each.id for each in stays if each.hold is Hold.OWN}
    return tuple(
        (each.start, each.end) for each in backups if each.id in own and each.start is not None and each.end is not None
    )

"""What prune may never do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from outlive.backup.layout import Kind
from outlive.backup.plan import retention
from outlive.backup.plan.retention import Facts, Held, Retention, Rules, Unfinished
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import WalSegment

NOW = datetime(2026, 11, 24, 22, 50, tzinfo=UTC)
SEGMENT = 1 << 20


@st.composite
def histories(draw: st.DrawFn) -> Facts:
    """Some weeks of backups over a growing WAL, some verified, some kept, on timelines that change."""
    backups: list[Held] = []
    position, at = draw(st.integers(1, 5)) * SEGMENT, NOW - timedelta(days=60)
    for number in range(draw(st.integers(0, 14))):
        at += timedelta(hours=draw(st.integers(1, 150)))
        start = position + draw(st.integers(0, 3 * SEGMENT))
        position = start + draw(st.integers(1, 2 * SEGMENT))
        physical = [each for each in backups if each.kind is not Kind.LOGICAL]
        kind = draw(st.sampled_from([Kind.FULL, Kind.FULL, Kind.INCREMENTAL, Kind.LOGICAL]))
        kind = Kind.FULL if kind is Kind.INCREMENTAL and not physical else kind
        parent = draw(st.sampled_from([each.id for each in physical])) if kind is Kind.INCREMENTAL else None
        span = (None, None) if kind is Kind.LOGICAL else (Lsn(start), Lsn(position))
        backups.append(
            Held(
                id=f"b{number:02d}", kind=kind, started_at=at, finished_at=at + timedelta(minutes=5), parent=parent,
                start=span[0], end=span[1], verified=draw(st.booleans()),
            )
        )  # fmt: skip
    ids = [each.id for each in backups]
    keeps = dict.fromkeys(draw(st.sets(st.sampled_from(ids), max_size=2)), ("hold",)) if ids else {}
    based_on = draw(st.sampled_from(ids)) if ids else None
    begun = [Unfinished(id="u", touched_at=NOW, parent=based_on)] if draw(st.booleans()) else []
    return Facts(backups=tuple(backups), keeps=keeps, unfinished=tuple(begun))


RULES = st.builds(
    Rules,
    days=st.none() | st.integers(0, 70).map(float),
    count=st.none() | st.integers(1, 5),
)


def needed_by(facts: Facts, backup_id: str) -> set[str]:
    """A backup with all its parents."""
    by_id = {each.id: each for each in facts.backups}
    found: set[str] = set()
    current: str | None = backup_id
    while current is not None and current not in found:
        found.add(current)
        current = by_id[current].parent
    return found


def done(facts: Facts, rules: Rules) -> tuple[Retention, set[str]]:
    """The plan, and the IDs that it leaves."""
    plan = retention.plan(facts, rules, NOW)
    gone = {each.id for each in plan.goes}
    left = {each.id for each in facts.backups} - gone
    assert left == {each.id for each in plan.stays}
    return plan, left


@given(histories(), RULES)
@settings(max_examples=400)
def test_no_chain_is_broken(facts: Facts, rules: Rules) -> None:
    """What stays has its parents; what is based on others goes before them."""
    plan, left = done(facts, rules)
    for each in left:
        assert needed_by(facts, each) <= left
    order = [each.id for each in plan.goes]
    parents = {each.id: each.parent for each in facts.backups}
    for place, each in enumerate(order):
        assert parents[each] not in order[:place]


@given(histories(), RULES)
@settings(max_examples=400)
def test_the_last_ones_stay(facts: Facts, rules: Rules) -> None:
    """The newest full one, the newest verified one, all that is kept, all that a backup under way is based on."""
    _, left = done(facts, rules)
    physical = [each for each in facts.backups if each.kind is not Kind.LOGICAL]
    fulls = [each for each in physical if each.parent is None]
    if fulls:
        assert fulls[-1].id in left
    verified = [each for each in physical if each.verified]
    if verified:
        assert verified[-1].id in left
    assert set(facts.keeps) <= left
    for each in facts.unfinished:
        if each.parent is not None and any(one.id == each.parent for one in physical):
            assert needed_by(facts, each.parent) <= left


@given(histories(), RULES, st.integers(0, 60), st.integers(1, 3))
@settings(max_examples=400)
def test_wal_that_is_needed_stays(facts: Facts, rules: Rules, number: int, timeline: int) -> None:
    """Every segment of what stays: of all since then, or of a kept backup's own; on whatever timeline."""
    plan, _ = done(facts, rules)
    segment = WalSegment(Timeline(timeline), number, SEGMENT)
    holds = {each.id: each.hold for each in plan.stays}
    for each in facts.backups:
        if each.id in holds and each.start is not None and each.end is not None:
            own = segment.start < each.end and each.start < segment.end
            since = holds[each.id] is retention.Hold.SINCE and segment.end > each.start
            assert not ((own or since) and plan.removes(segment))


@given(histories(), st.integers(1, 60).map(float), st.none() | st.integers(1, 5))
@settings(max_examples=400)
def test_every_moment_of_the_window_stays_restorable(facts: Facts, days: float, count: int | None) -> None:
    """If a full backup from before the window's beginning was there, one with all the WAL since then is there still."""
    plan, left = done(facts, Rules(days=days, count=count))
    since = NOW - timedelta(days=days)
    before = [each for each in facts.backups if each.kind is Kind.FULL and each.finished_at < since]
    if before:
        anchor = before[-1]
        assert anchor.id in left
        assert plan.horizon is not None
        assert anchor.start is not None
        assert plan.horizon <= anchor.start


@given(histories())
def test_without_a_rule_nothing_goes(facts: Facts) -> None:
    """Nobody said how long: everything stays."""
    assert retention.plan(facts, Rules(), NOW).goes == ()


@given(histories(), RULES)
def test_it_is_done_in_one_go(facts: Facts, rules: Rules) -> None:
    """A second prune at the same moment finds nothing more."""
    plan, left = done(facts, rules)
    after = Facts(
        backups=tuple(each for each in facts.backups if each.id in left), keeps=facts.keeps, unfinished=facts.unfinished
    )
    assert retention.plan(after, rules, NOW).goes == ()
    assert retention.plan(after, rules, NOW).horizon == plan.horizon

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from outlive.backup.plan.lineage import ArchiveFacts, trace
from outlive.backup.plan.recovery import BackupFacts, CatalogFacts, RecoveryPlan, Wish, choose
from outlive.backup.plan.targets import LsnTarget, Refusal
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import TimelineSwitch, WalSegment

SEGMENT = 1 << 20
LENGTH = 24
START = datetime(2026, 11, 24, tzinfo=UTC)
NOW = START + timedelta(days=1)


@st.composite
def histories(draw: st.DrawFn) -> CatalogFacts:
    """A cluster of up to three failovers whose WAL is all in the store, and its backups."""
    places = draw(st.lists(st.integers(SEGMENT, LENGTH * SEGMENT - 1), min_size=0, max_size=3, unique=True))
    switches = tuple(
        TimelineSwitch(Timeline(number + 2), Timeline(number + 1), Lsn(at)) for number, at in enumerate(sorted(places))
    )
    begins = (0, *(switch.at for switch in switches))
    ends = (*(switch.at for switch in switches), LENGTH * SEGMENT)
    segments = frozenset(
        WalSegment(Timeline(timeline), number, SEGMENT)
        for timeline, (begin, end) in enumerate(zip(begins, ends, strict=True), start=1)
        for number in range(begin // SEGMENT, -(-end // SEGMENT))
    )
    starts = draw(st.lists(st.integers(0, LENGTH * SEGMENT - 2), min_size=1, max_size=5, unique=True))
    backups: list[BackupFacts] = []
    for start in sorted(starts):
        timeline = max(number for number, begin in enumerate(begins, start=1) if begin <= start)
        end = draw(st.integers(start + 1, max(start + 1, ends[timeline - 1])))
        parent = draw(st.sampled_from([None, *(each.id for each in backups)]))
        finished = START + timedelta(seconds=end)
        backups.append(
            BackupFacts(
                id=f"b{start}",
                timeline=Timeline(timeline),
                start=Lsn(start),
                end=Lsn(end),
                finished_at=finished,
                parent=parent,
            )
        )
    known = {switch.timeline: switches[: number + 1] for number, switch in enumerate(switches)}
    return CatalogFacts(
        backups=tuple(backups), archive=ArchiveFacts(segments=segments, histories=known, segment_bytes=SEGMENT)
    )


@given(histories(), st.integers(1, LENGTH * SEGMENT), st.data())
def test_a_plan_has_all_that_recovery_will_ask_for(facts: CatalogFacts, lsn: int, data: st.DataObject) -> None:
    """Whatever is missing from the store, a plan's chain is whole, lies on the way, and its WAL has no hole."""
    lost = data.draw(st.sets(st.sampled_from(sorted(facts.archive.segments)), max_size=3))
    gone = data.draw(st.sets(st.sampled_from([each.id for each in facts.backups]), max_size=1))
    facts = replace(
        facts,
        archive=replace(facts.archive, segments=facts.archive.segments - lost),
        backups=tuple(each for each in facts.backups if each.id not in gone),
    )
    plan = choose(facts, Wish(target=LsnTarget(Lsn(lsn))), NOW)
    if isinstance(plan, Refusal):
        return
    lineage = trace(plan.timeline, facts.archive.histories)
    assert lineage is not None
    assert plan.chain[0].parent is None
    assert [each.parent for each in plan.chain[1:]] == [each.id for each in plan.chain[:-1]]
    assert lineage.holds(plan.backup.timeline, plan.backup.end)
    assert plan.backup.end <= lsn <= plan.reach
    # What ends with the backup lies in it.
    needed = range((plan.backup.end - 1) // SEGMENT, -(-lsn // SEGMENT)) if lsn > plan.backup.end else ()
    under = {each.number: each for each in plan.wal}
    for number in needed:
        assert under[number] in facts.archive.segments
        assert under[number].timeline == lineage.owner(number, SEGMENT)


@given(histories(), st.integers(1, LENGTH * SEGMENT))
def test_what_is_whole_can_be_restored_from_the_oldest_backup_on(facts: CatalogFacts, lsn: int) -> None:
    """With all WAL and all backups there, each LSN behind a backup on the way is planned from the newest."""
    newest = max(facts.archive.timelines() | {each.timeline for each in facts.backups})
    lineage = trace(newest, facts.archive.histories)
    assert lineage is not None
    fit = [each for each in facts.backups if each.end <= lsn and lineage.holds(each.timeline, each.end)]
    plan = choose(facts, Wish(target=LsnTarget(Lsn(lsn))), NOW)
    if not fit:
        assert isinstance(plan, Refusal)
        return
    assert isinstance(plan, RecoveryPlan)
    assert plan.backup.end == max(each.end for each in fit)

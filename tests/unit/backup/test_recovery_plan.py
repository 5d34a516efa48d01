from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from outlive.backup.plan.lineage import ArchiveFacts, Coverage
from outlive.backup.plan.recovery import BackupFacts, CatalogFacts, PointFacts, RecoveryPlan, Wish, choose
from outlive.backup.plan.targets import (
    BackupEnd,
    Impossible,
    Latest,
    LsnTarget,
    NameTarget,
    Refusal,
    Target,
    TimeTarget,
    parse_lsn,
    parse_time,
)
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import TimelineSwitch, WalSegment

SEGMENT = 1 << 24
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOW = START + timedelta(hours=10)


def at(segment: float) -> Lsn:
    """The LSN at this many segments."""
    return Lsn(int(segment * SEGMENT))


def hour(number: float) -> datetime:
    """That many hours after the start."""
    return START + timedelta(hours=number)


def segments(timeline: int, first: int, last: int) -> frozenset[WalSegment]:
    """Whole segments of a timeline, the last one included."""
    return frozenset(WalSegment(Timeline(timeline), number) for number in range(first, last + 1))


def backup(name: str, segment: int, *, timeline: int = 1, parent: str | None = None) -> BackupFacts:
    """A backup within one segment, taken as many hours after the start as the segment's number."""
    return BackupFacts(
        id=name,
        timeline=Timeline(timeline),
        start=at(segment + 0.1),
        end=at(segment + 0.2),
        finished_at=hour(segment),
        parent=parent,
    )


# Timeline 1 was left in segment 5; a full backup in segments 1 and 4, an incremental in 3, one on timeline 2 in 7.
FACTS = CatalogFacts(
    backups=(
        backup("one", 1),
        backup("three", 3, parent="one"),
        backup("four", 4),
        backup("seven", 7, timeline=2),
    ),
    archive=ArchiveFacts(
        segments=segments(1, 1, 4) | segments(2, 5, 8),
        tails={WalSegment(Timeline(1), 5): at(5.8), WalSegment(Timeline(2), 9): at(9.5)},
        histories={Timeline(2): (TimelineSwitch(Timeline(2), Timeline(1), at(5.5)),)},
        covered=tuple(
            Coverage(Timeline(2 if number > 5 else 1), at(number + 0.4), hour(number + 0.4)) for number in range(1, 10)
        ),
    ),
    points={
        "before": PointFacts("before", at(4.6), Timeline(1)),
        "abandoned": PointFacts("abandoned", at(5.7), Timeline(1)),
    },
)


def choice(
    target: Target, facts: CatalogFacts = FACTS, name: str | None = None, timeline: int | None = None
) -> RecoveryPlan | Refusal:
    """What the plan says."""
    return choose(facts, Wish(target=target, backup=name, timeline=Timeline(timeline) if timeline else None), NOW)


def planned(target: Target, facts: CatalogFacts = FACTS, name: str | None = None) -> RecoveryPlan:
    """The plan, where there is one."""
    chosen = choice(target, facts, name)
    assert isinstance(chosen, RecoveryPlan), chosen
    return chosen


def refused(
    target: Target, facts: CatalogFacts = FACTS, name: str | None = None, timeline: int | None = None
) -> Refusal:
    """The refusal, where it is one."""
    chosen = choice(target, facts, name, timeline)
    assert isinstance(chosen, Refusal), chosen
    return chosen


def without(*missing: WalSegment) -> CatalogFacts:
    """The same store without these segments."""
    return replace(FACTS, archive=replace(FACTS.archive, segments=FACTS.archive.segments - frozenset(missing)))


def test_the_latest_moment_is_reached_from_the_newest_backup_and_the_streamed_end() -> None:
    """`latest` begins at the newest backup and ends where the last streamed piece ends."""
    plan = planned(Latest())
    assert [each.id for each in plan.chain] == ["seven"]
    assert [each.name[-2:] for each in plan.wal] == ["07", "08", "09"]
    assert (plan.timeline, plan.reach) == (2, at(9.5))


def test_a_moment_before_a_failover_is_reached_across_it() -> None:
    """WAL of the timeline that was left and of the one that followed are joined at the switch."""
    plan = planned(TimeTarget(hour(6)))
    assert plan.backup.id == "four"
    assert [(each.timeline, each.number) for each in plan.wal][:3] == [(1, 4), (2, 5), (2, 6)]


def test_an_incremental_brings_what_it_builds_on() -> None:
    """The chain of an incremental begins with its full backup."""
    assert [each.id for each in planned(TimeTarget(hour(3.3))).chain] == ["one", "three"]


def test_a_moment_before_every_backup_is_refused() -> None:
    """What lies before the oldest backup's end can't be restored."""
    assert refused(TimeTarget(hour(0.5))).kind is Impossible.BEFORE_THE_OLDEST
    assert refused(LsnTarget(at(0.5))).kind is Impossible.BEFORE_THE_OLDEST


def test_the_future_is_refused() -> None:
    """Neither a time to come, nor one after the newest commit in the store, nor WAL beyond its end is promised."""
    assert refused(TimeTarget(NOW + timedelta(seconds=1))).kind is Impossible.IN_THE_FUTURE
    late = refused(TimeTarget(hour(9.8)))
    assert late.kind is Impossible.IN_THE_FUTURE
    assert "committed before" in late.reason
    assert refused(LsnTarget(at(9.6))).kind is Impossible.IN_THE_FUTURE


def test_behind_a_gap_nothing_is_promised_from_before_it() -> None:
    """A missing segment is named, and what lies behind the next backup is still restored."""
    holed = without(WalSegment(Timeline(2), 6))
    assert "000000020000000000000006" in refused(TimeTarget(hour(6.5)), holed).reason
    assert refused(Latest(), holed, "four").kind is Impossible.IN_A_GAP
    assert planned(TimeTarget(hour(5.2)), holed).backup.id == "four"
    seen = replace(holed, archive=replace(holed.archive, stored_at={WalSegment(Timeline(2), 5): hour(6)}))
    assert planned(TimeTarget(hour(5.9)), seen).backup.id == "four"
    assert refused(TimeTarget(hour(6.1)), seen).kind is Impossible.IN_A_GAP
    assert planned(Latest(), holed).backup.id == "seven"


def test_a_lost_history_is_named() -> None:
    """Without its history file nothing tells where a timeline comes from."""
    facts = replace(FACTS, archive=replace(FACTS.archive, histories={}))
    assert "00000002.history" in refused(Latest(), facts).reason


def test_another_timeline_is_refused() -> None:
    """A backup of the timeline that followed can't be rolled forward along the one that was left."""
    assert refused(Latest(), name="seven", timeline=1).kind is Impossible.ON_ANOTHER_TIMELINE


def test_a_point_is_found_on_the_timeline_it_was_made_on() -> None:
    """A restore point that was left behind by a failover is reached on its own timeline."""
    assert planned(NameTarget("before")).timeline == 2
    plan = planned(NameTarget("abandoned"))
    assert (plan.timeline, plan.wal[-1]) == (1, WalSegment(Timeline(1), 5))
    assert "abandoned, before" in refused(NameTarget("other")).hint


def test_a_broken_chain_is_named_or_gone_around() -> None:
    """An incremental without its parent is no backup; another one is taken where it allows the target."""
    facts = replace(FACTS, backups=(backup("three", 3, parent="one"), backup("four", 4)))
    assert refused(BackupEnd(), facts, "three").kind is Impossible.CHAIN_BROKEN
    assert planned(TimeTarget(hour(6)), facts).backup.id == "four"


def test_a_missing_key_is_named() -> None:
    """A backup under a key that is not at hand says which key that is."""
    facts = replace(FACTS, backups=(replace(backup("four", 4), key_id="c0ffee"),))
    assert "c0ffee" in refused(Latest(), facts).reason
    assert planned(Latest(), replace(facts, keys=frozenset({"c0ffee"}))).backup.id == "four"


def test_a_backup_alone_needs_no_archive() -> None:
    """A backup's own end, and `latest` where nothing was archived, need only the backup."""
    facts = CatalogFacts(backups=FACTS.backups[:1])
    assert planned(BackupEnd(), facts).wal == ()
    assert planned(Latest(), facts).reach == at(1.2)


def test_an_empty_store_is_told() -> None:
    """Where there is no backup, and where the one that was named is not there, the refusal says so."""
    assert refused(Latest(), CatalogFacts(backups=())).kind is Impossible.NO_BACKUP
    assert "nine" in refused(Latest(), name="nine").reason


@pytest.mark.parametrize(("text", "kind"), [("yesterday", "no moment"), ("2026-11-24 22:50:00", "time zone")])
def test_an_unclear_moment_is_refused_with_a_hint(text: str, kind: str) -> None:
    """A moment without an offset is refused rather than taken for some time zone."""
    parsed = parse_time(text)
    assert isinstance(parsed, Refusal)
    assert kind in parsed.reason


def test_a_moment_keeps_its_offset() -> None:
    """Two hours east of UTC is two hours earlier in UTC."""
    assert parse_time("2026-11-24T22:50:00+02:00") == TimeTarget(datetime(2026, 11, 24, 20, 50, tzinfo=UTC))
    assert parse_lsn("0/5000000") == LsnTarget(Lsn(5 << 24))
    assert isinstance(parse_lsn("5000000"), Refusal)

"""Cases of retention that others got wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from outlive.backup.layout import Kind
from outlive.backup.plan import retention
from outlive.backup.plan.retention import Facts, Held, Rules, Unfinished
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import WalSegment

NOW = datetime(2026, 11, 24, 22, 50, tzinfo=UTC)
MIB = 1 << 20


def full(name: str, days_ago: float, megabytes: int, *, verified: bool = False, parent: str | None = None) -> Held:
    """A backup of some days ago, at a place in the WAL."""
    at = NOW - timedelta(days=days_ago)
    return Held(
        id=name, kind=Kind.INCREMENTAL if parent else Kind.FULL, started_at=at, finished_at=at, parent=parent,
        start=Lsn(megabytes * MIB), end=Lsn((megabytes + 1) * MIB), verified=verified,
    )  # fmt: skip


def gone(facts: Facts, rules: Rules) -> list[str]:
    """The IDs that go, in order."""
    return [each.id for each in retention.plan(facts, rules, NOW).goes]


def test_forty_failing_days_do_not_expire_the_last_verified_backup() -> None:
    """It stays for as long as nothing newer is verified, with all WAL since; then it goes."""
    daily = tuple(full(f"d{day:02d}", 40 - day, 100 + day, verified=day == 0) for day in range(41))
    rules = Rules(days=7, count=3)
    plan = retention.plan(Facts(backups=daily), rules, NOW)
    assert "d00" in {each.id for each in plan.stays}
    assert plan.horizon == daily[0].start
    assert gone(Facts(backups=(*daily, full("new", 0, 200, verified=True))), rules)[0] == "d00"


def test_a_kept_incremental_holds_its_parents_and_its_own_wal_only() -> None:
    """A legal hold of a year ago neither loses its chain nor pins a year of WAL."""
    chain = (full("old", 400, 10), full("inc", 399, 20, parent="old"), full("later", 398, 30, parent="inc"))
    facts = Facts(backups=(*chain, full("new", 1, 500)), keeps={"inc": ("case-7",)})
    plan = retention.plan(facts, Rules(count=1), NOW)
    assert plan.goes == ()
    assert plan.horizon == Lsn(500 * MIB)
    removed = [n for n in range(600) if plan.removes(WalSegment(Timeline(1), n, MIB))]
    assert set(range(500)) - set(removed) == {10, 20, 30}
    assert max(removed) == 499


def test_wal_of_an_older_timeline_beyond_the_horizon_stays() -> None:
    """A failover doesn't make the WAL before it useless."""
    facts = Facts(backups=(full("before", 5, 100), full("after", 1, 200)))
    plan = retention.plan(facts, Rules(days=3), NOW)
    for timeline in (1, 2, 3):
        assert not plan.removes(WalSegment(Timeline(timeline), 150, MIB))
        assert plan.removes(WalSegment(Timeline(timeline), 50, MIB))


def test_expired_chains_go_whole_and_children_first() -> None:
    """With the reason."""
    facts = Facts(backups=(full("a", 30, 10), full("b", 29, 20, parent="a"), full("c", 9, 30), full("d", 1, 40)))
    plan = retention.plan(facts, Rules(days=7), NOW)
    assert [(each.id, each.reason) for each in plan.goes] == [("b", "beyond 7 days"), ("a", "beyond 7 days")]
    assert {each.id: each.reason for each in plan.stays} == {
        "c": "the last 7 days begin within it",
        "d": "the newest chain",
    }


def test_what_was_left_unfinished_goes_after_a_day() -> None:
    """Not before: it may be under way. What it is based on stays meanwhile."""
    begun = Unfinished(id="now", touched_at=NOW - timedelta(hours=1), parent="a")
    left = Unfinished(id="left", touched_at=NOW - timedelta(hours=30))
    facts = Facts(backups=(full("a", 30, 10), full("b", 1, 20), full("c", 0, 30)), unfinished=(begun, left))
    plan = retention.plan(facts, Rules(count=1), NOW)
    assert plan.abandoned == ("left",)
    assert [each.id for each in plan.goes] == ["b"]


def test_an_incremental_without_its_parent_is_told() -> None:
    """It can't be restored, and neither counts as a backup nor holds WAL."""
    facts = Facts(backups=(full("alone", 30, 10, parent="gone"), full("b", 1, 20)))
    plan = retention.plan(facts, Rules(days=7), NOW)
    assert [each.reason for each in plan.goes] == ["gone, which it is based on, is not there"]
    assert plan.horizon == Lsn(20 * MIB)


def test_without_a_backup_no_wal_goes() -> None:
    """Where nothing can be restored, nothing is made worse."""
    assert not retention.plan(Facts(backups=()), Rules(days=1), NOW).removes(WalSegment(Timeline(1), 1, MIB))

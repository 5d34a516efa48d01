"""Which migrations are applied, and when none may be."""

from __future__ import annotations

from outlive.stores.plan.migration import (
    Migration,
    Pending,
    Recorded,
    Refusal,
    checksum,
    explain_missing,
    plan_migrations,
)

KNOWN = tuple(Migration(n, f"step{n}", checksum(f"sql {n}"), f"sql {n}") for n in (1, 2, 3))
RECORDED = tuple(Recorded(each.version, each.name, each.checksum) for each in KNOWN)


def test_an_empty_database_gets_everything_in_order() -> None:
    """From nothing, every migration is pending."""
    assert plan_migrations(KNOWN, ()) == Pending(KNOWN)


def test_only_what_is_missing_is_applied() -> None:
    """What is recorded is not applied again."""
    assert plan_migrations(KNOWN, RECORDED[:2]) == Pending(KNOWN[2:])
    assert plan_migrations(KNOWN, RECORDED) == Pending(())


def test_a_newer_schema_is_refused() -> None:
    """The code names both versions and says to upgrade."""
    refusal = plan_migrations(KNOWN[:1], RECORDED)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "the schema `outlive` is at version 3, this code knows 1"
    assert "Upgrade" in refusal.hint


def test_an_altered_migration_is_refused_even_with_others_pending() -> None:
    """A recorded checksum that differs stops everything."""
    altered = (Recorded(1, "step1", checksum("other")),)
    refusal = plan_migrations(KNOWN, altered)
    assert isinstance(refusal, Refusal)
    assert "0001_step1" in refusal.reason


def test_a_schema_from_before_the_first_release_is_told_from_a_newer_one() -> None:
    """It has more migrations than the code, under other names: the way out is an export, not an upgrade."""
    laid_out_before = tuple(Recorded(n, f"earlier{n}", checksum(f"earlier {n}")) for n in range(1, 25))
    for count in (1, 2, 24):
        refusal = plan_migrations(KNOWN, laid_out_before[:count])
        assert isinstance(refusal, Refusal)
        assert "before the first release" in refusal.reason
        assert "0001_earlier1" in refusal.reason
        assert "outlive state export --all" in refusal.hint
        assert "Upgrade" not in refusal.hint
        assert explain_missing(KNOWN, laid_out_before[:count]) == refusal


def test_a_record_with_a_hole_is_refused() -> None:
    """What is recorded must be a beginning of what is known."""
    refusal = plan_migrations(KNOWN, (RECORDED[0], RECORDED[2]))
    assert isinstance(refusal, Refusal)
    assert "another text" in refusal.reason


def test_a_name_that_is_missing_is_explained_by_the_versions() -> None:
    """An absent or older schema is to be migrated, a newer one needs newer code, the same version tells nothing."""
    absent, older = explain_missing(KNOWN, None), explain_missing(KNOWN, RECORDED[:2])
    newer = explain_missing(KNOWN[:2], RECORDED)
    assert absent == Refusal("there is no schema `outlive` in this database", "Run `outlive migrate`.")
    assert older == Refusal("the schema `outlive` is at version 2, this code needs 3", "Run `outlive migrate`.")
    assert newer is not None
    assert newer.reason == "the schema `outlive` is at version 3, this code knows 2"
    assert "Upgrade" in newer.hint
    assert explain_missing(KNOWN, RECORDED) is None

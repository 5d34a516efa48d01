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


def test_a_record_with_a_hole_is_refused() -> None:
    """What is recorded must be a beginning of what is known."""
    assert isinstance(plan_migrations(KNOWN, (RECORDED[0], RECORDED[2])), Refusal)


def test_a_name_that_is_missing_is_explained_by_the_versions() -> None:
    """An absent or older schema is to be migrated, a newer one needs newer code, the same version tells nothing."""
    absent, older, newer = (explain_missing(3, recorded) for recorded in (None, 2, 4))
    assert absent == Refusal("there is no schema `outlive` in this database", "Run `outlive migrate`.")
    assert older == Refusal("the schema `outlive` is at version 2, this code needs 3", "Run `outlive migrate`.")
    assert newer is not None
    assert newer.reason == "the schema `outlive` is at version 4, this code knows 3"
    assert "Upgrade" in newer.hint
    assert explain_missing(3, 3) is None

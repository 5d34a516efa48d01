"""What a policy asks for and can't have."""

from __future__ import annotations

from importlib.resources import files

import pytest

from outlive import policy
from outlive.policy.plan.conflicts import Finding, Weight, findings

EXAMPLE = files("outlive.policy").joinpath("example.yaml").read_text("utf-8")
LOCK = "  object_lock: {days: 7}\n  encryption:"


def found(*changes: tuple[str, str]) -> tuple[Finding, ...]:
    """What is found in the example after these changes."""
    text = EXAMPLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return findings(policy.parse(text))


def test_the_example_can_be_kept() -> None:
    """There is nothing wrong with the example."""
    assert found() == ()


@pytest.mark.parametrize(
    ("changes", "where", "hint"),
    [
        ([("14d", "45d")], "wal_archiving.recovery_target_time", "to 45"),
        ([("enabled: true", "enabled: false")], "wal_archiving.enabled", "true"),
        ([("rpo_seconds: 5", "rpo_seconds: 1")], "objectives.rpo_seconds", "5 s or more"),
        ([("rto_minutes: 30", "rto_minutes: 10")], "restore_testing.max_restore_time_minutes", "Lower it to 10"),
        ([("  encryption:", LOCK), ("s3://", "gs://")], "object_lock", "a bucket with Object Lock"),
    ],
)
def test_a_promise_that_no_part_keeps_is_a_conflict(changes: list[tuple[str, str]], where: str, hint: str) -> None:
    """Each conflict names the part that is at fault, and the way out."""
    conflicts = [finding for finding in found(*changes) if finding.weight is Weight.CONFLICT]
    finding = next(each for each in conflicts if each.where == where)
    assert hint in finding.hint


def test_without_an_archive_a_loss_goes_back_to_the_last_backup() -> None:
    """The objective is held against the most frequent schedule: here every four hours."""
    conflicts = found(
        ("enabled: true ", "enabled: false"),
        ("    recovery_target_time: 14d", "    # none"),
        ("rpo_seconds: 5", "rpo_seconds: 3600"),
    )
    assert [(each.where, "4h" in each.reason) for each in conflicts] == [("objectives.rpo_seconds", True)]
    assert not found(
        ("enabled: true ", "enabled: false"),
        ("    recovery_target_time: 14d", "    # none"),
        ("rpo_seconds: 5", "rpo_seconds: 14400"),
    )


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (('"0 */4 * * *"', '"0 2 * * *"'), "incremental.schedule"),
        (('"0 6 * * 0"', '"0 6 1 */3 *"'), "restore_testing.schedule"),
        (("alert_on_failure: true", "alert_on_failure: false"), "restore_testing.alert_on_failure"),
        (("s3://backups/agents", "file:///backups"), "full_backup.storage"),
        (('"0 2 * * *"', '"0 2 1 */2 *"'), "full_backup.schedule"),
        (("  encryption:", LOCK), "object_lock.days"),
    ],
)
def test_what_is_kept_to_the_letter_and_worth_a_look_is_a_doubt(change: tuple[str, str], where: str) -> None:
    """A doubt is told and is no conflict."""
    assert where in {finding.where for finding in found(change) if finding.weight is Weight.DOUBT}


def test_conflicts_come_first() -> None:
    """Whatever order the rules have, what can't be kept is told before what may be."""
    weights = [
        each.weight for each in found(("s3://backups/agents", "file:///b"), ("rpo_seconds: 5", "rpo_seconds: 1"))
    ]
    assert weights == [Weight.CONFLICT, Weight.DOUBT]

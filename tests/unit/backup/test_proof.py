from __future__ import annotations

from dataclasses import replace

from outlive.backup.plan.proof import Place, Proof, Restored, prove
from outlive.model.lsn import Timeline
from outlive.model.wal import WalSegment
from unit.backup.test_recovery_plan import FACTS, NOW, at, hour

STORED = replace(FACTS, archive=replace(FACTS.archive, stored_at={WalSegment(Timeline(1), 4): hour(4.5)}))


def of(timeline: int, segment: float, *tests: Restored) -> Proof:
    """What is proved of a commit there."""
    return prove(Place(Timeline(timeline), at(segment)), STORED, tests, NOW)


def test_a_commit_before_a_failover_is_covered_along_the_new_timeline() -> None:
    """What was committed before the switch is archived on its own timeline and restored along the one that followed."""
    proof = of(1, 4.5)
    assert proof.archived_in == WalSegment(Timeline(1), 4)
    assert (proof.archived_at, proof.covered_by, proof.proved) == (hour(4.5), "four", None)


def test_a_restore_test_proves_what_it_went_beyond() -> None:
    """A test that passed proves the commits before the place it recovered to, and none after it."""
    test = Restored("four", Timeline(2), at(6.5), hour(8))
    assert of(1, 4.5, test).proved == test
    assert of(2, 6.7, test).proved is None


def test_a_commit_that_was_left_behind_is_not_proved_by_the_timeline_that_followed() -> None:
    """A commit on the part of a timeline that a failover left is not in the past of the new one."""
    test = Restored("seven", Timeline(2), at(8.5), hour(9))
    proof = of(1, 5.7, test)
    assert proof.proved is None
    assert proof.covered_by == "four"


def test_what_is_not_archived_yet_says_so() -> None:
    """A commit beyond the last streamed piece is in no archive, with the reason why no backup covers it."""
    proof = of(2, 9.7)
    assert (proof.archived_in, proof.covered_by) == (None, None)
    assert "archive ends" in str(proof.uncovered)

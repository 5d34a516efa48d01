"""Whether a failed attempt is made again."""

from __future__ import annotations

import pytest

from outlive.client.plan.retry import (
    AttemptFailure,
    Backoff,
    Budget,
    FailureKind,
    GiveUp,
    Phase,
    Reason,
    Retry,
    decide,
)
from outlive.model.deadline import Deadline
from outlive.model.outcome import Outcome

BUDGET = Budget(attempts=5, deadline=Deadline(100.0))


def verdict(failure: AttemptFailure, *, attempt: int = 1, idempotent: bool = False, now: float = 0.0) -> Retry | GiveUp:
    """The plan's word, with the longest pause."""
    return decide(failure, attempt=attempt, idempotent=idempotent, budget=BUDGET, now=now, chance=1.0)


def failure(phase: Phase, kind: FailureKind) -> AttemptFailure:
    """A failed attempt."""
    return AttemptFailure(phase, kind, "it failed")


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.BEGIN, Phase.BODY, Phase.READ])
def test_a_connection_lost_before_commit_applied_nothing(phase: Phase) -> None:
    """The server rolls back what was not committed, so the attempt is made again."""
    lost = failure(phase, FailureKind.LOST)
    assert lost.outcome is Outcome.NOT_APPLIED
    assert verdict(lost) == Retry(0.02)


@pytest.mark.parametrize("phase", [Phase.COMMIT, Phase.STATEMENT])
@pytest.mark.parametrize("kind", [FailureKind.LOST, FailureKind.OVERDUE, FailureKind.UNREPLICATED])
def test_a_commit_without_an_answer_is_unknown(phase: Phase, kind: FailureKind) -> None:
    """It is not made again, unless the caller declared it idempotent."""
    lost = failure(phase, kind)
    assert lost.outcome is Outcome.UNKNOWN
    assert verdict(lost) == GiveUp(Reason.OUTCOME_UNKNOWN)
    assert verdict(lost, idempotent=True) == Retry(0.02)


@pytest.mark.parametrize("kind", [FailureKind.CONFLICT, FailureKind.DEMOTED, FailureKind.DURABILITY])
@pytest.mark.parametrize("phase", list(Phase))
def test_what_the_server_refused_is_made_again(phase: Phase, kind: FailureKind) -> None:
    """A refusal applied nothing, in whatever phase it came."""
    assert isinstance(verdict(failure(phase, kind)), Retry)


@pytest.mark.parametrize("phase", list(Phase))
def test_what_a_setting_forbids_is_not_tried_again(phase: Phase) -> None:
    """Nothing is applied, and no further attempt would be."""
    forbidden = failure(phase, FailureKind.READ_ONLY)
    assert forbidden.outcome is Outcome.NOT_APPLIED
    assert verdict(forbidden, idempotent=True) == GiveUp(Reason.FORBIDDEN)


def test_attempts_are_bounded() -> None:
    """The last attempt of the budget is the last."""
    conflict = failure(Phase.BODY, FailureKind.CONFLICT)
    assert isinstance(verdict(conflict, attempt=4), Retry)
    assert verdict(conflict, attempt=5) == GiveUp(Reason.ATTEMPTS_SPENT)


def test_time_is_bounded() -> None:
    """A pause that ends after the deadline is not begun."""
    assert verdict(failure(Phase.BODY, FailureKind.CONFLICT), now=99.99) == GiveUp(Reason.TIME_SPENT)


def test_pauses_grow_to_a_cap() -> None:
    """Twice as long each time, up to the cap."""
    backoff = Backoff(first_s=0.1, cap_s=0.5)
    assert [backoff.pause_s(attempt, 1.0) for attempt in (1, 2, 3, 4, 1000)] == [0.1, 0.2, 0.4, 0.5, 0.5]

"""From the driver's exceptions to facts, and from a verdict to the caller's error."""

from __future__ import annotations

import asyncpg
import pytest

from outlive.client.failures import AttemptError, diagnose, to_error
from outlive.client.plan.retry import AttemptFailure, FailureKind, GiveUp, Phase, Reason
from outlive.errors import (
    CommitUnknownError,
    ConfigurationError,
    ConflictError,
    DemotedError,
    DurabilityNotMetError,
    OutliveError,
    RetryBudgetExceededError,
    UnavailableError,
)
from outlive.model.outcome import Outcome


@pytest.mark.parametrize(
    ("error", "phase", "kind"),
    [
        (asyncpg.SerializationError("x"), Phase.BODY, FailureKind.CONFLICT),
        (asyncpg.DeadlockDetectedError("x"), Phase.STATEMENT, FailureKind.CONFLICT),
        (asyncpg.ReadOnlySQLTransactionError("x"), Phase.BODY, FailureKind.DEMOTED),
        (asyncpg.AdminShutdownError("x"), Phase.COMMIT, FailureKind.LOST),
        (asyncpg.CannotConnectNowError("x"), Phase.CONNECT, FailureKind.LOST),
        (asyncpg.ConnectionDoesNotExistError("x"), Phase.COMMIT, FailureKind.LOST),
        (asyncpg.InternalClientError("cannot switch to state 12"), Phase.COMMIT, FailureKind.LOST),
        (asyncpg.TooManyConnectionsError("x"), Phase.CONNECT, FailureKind.UNREACHABLE),
        (asyncpg.ObjectNotInPrerequisiteStateError("recovery is in progress"), Phase.BEGIN, FailureKind.DEMOTED),
        (asyncpg.InvalidTextRepresentationError('"outlive fence: timeline 1"'), Phase.BEGIN, FailureKind.DEMOTED),
        (asyncpg.InvalidTextRepresentationError('"outlive fence: x became"'), Phase.BEGIN, FailureKind.DURABILITY),
        (ConnectionRefusedError(), Phase.CONNECT, FailureKind.UNREACHABLE),
        (TimeoutError(), Phase.CONNECT, FailureKind.UNREACHABLE),
    ],
)
def test_what_a_retry_can_cure_is_recognized(error: Exception, phase: Phase, kind: FailureKind) -> None:
    """The exceptions seen at failovers, each as the kind of failure it is."""
    failure = diagnose(error, phase, None)
    assert failure is not None
    assert (failure.phase, failure.kind) == (phase, kind)


@pytest.mark.parametrize(
    ("error", "phase"),
    [
        (asyncpg.UniqueViolationError("x"), Phase.BODY),
        (asyncpg.ObjectNotInPrerequisiteStateError("x"), Phase.BODY),
        (asyncpg.InvalidTextRepresentationError("outlive fence: timeline"), Phase.BODY),
        (asyncpg.InvalidPasswordError("x"), Phase.CONNECT),
        (asyncpg.InterfaceError("the server expects 1 argument"), Phase.BODY),
        (TimeoutError("the model did not answer"), Phase.BODY),
        (ConnectionError("the tool's own"), Phase.BODY),
        (ValueError("x"), Phase.COMMIT),
    ],
)
def test_the_callers_own_errors_are_left_alone(error: Exception, phase: Phase) -> None:
    """What a retry would not cure passes through."""
    assert diagnose(error, phase, None) is None


def test_our_own_failures_pass_as_they_are() -> None:
    """A failure that this client found is not diagnosed again."""
    failure = AttemptFailure(Phase.COMMIT, FailureKind.UNREPLICATED, "x")
    assert diagnose(AttemptError(failure), Phase.BODY, None) is failure


@pytest.mark.parametrize(
    ("kind", "phase", "error"),
    [
        (FailureKind.LOST, Phase.COMMIT, CommitUnknownError),
        (FailureKind.OVERDUE, Phase.STATEMENT, CommitUnknownError),
        (FailureKind.UNREPLICATED, Phase.COMMIT, CommitUnknownError),
        (FailureKind.CONFLICT, Phase.COMMIT, ConflictError),
        (FailureKind.DEMOTED, Phase.BEGIN, DemotedError),
        (FailureKind.DURABILITY, Phase.BEGIN, DurabilityNotMetError),
        (FailureKind.READ_ONLY, Phase.BODY, ConfigurationError),
        (FailureKind.LOST, Phase.BODY, UnavailableError),
    ],
)
def test_a_failure_that_is_not_repeated_is_named(kind: FailureKind, phase: Phase, error: type[OutliveError]) -> None:
    """Each failure has one error, whose outcome is the failure's."""
    failure = AttemptFailure(phase, kind, "it failed")
    made = to_error(failure, GiveUp(Reason.NOT_REPEATABLE), 1, "n1:5432")
    assert type(made) is error
    assert made.outcome is failure.outcome
    assert "n1:5432" in str(made)
    assert "it failed" in str(made)


def test_a_spent_budget_carries_the_last_failure() -> None:
    """`__cause__` is the last failure's error, `outcome` its outcome."""
    failure = AttemptFailure(Phase.COMMIT, FailureKind.LOST, "it failed")
    made = to_error(failure, GiveUp(Reason.ATTEMPTS_SPENT), 20, "n1:5432")
    assert isinstance(made, RetryBudgetExceededError)
    assert isinstance(made.__cause__, CommitUnknownError)
    assert made.outcome is Outcome.UNKNOWN
    assert "20 attempts" in str(made)


def test_a_write_sent_as_a_read_is_the_callers_mistake() -> None:
    """A standby's refusal of a write that came as a read is raised, not retried."""
    assert diagnose(asyncpg.ReadOnlySQLTransactionError("x"), Phase.READ, None) is None

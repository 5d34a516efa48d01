"""From the driver's exceptions to facts that the plan can judge, and from a verdict to the caller's error."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from outlive.client.plan.begin import FENCE
from outlive.client.plan.retry import AttemptFailure, FailureKind, GiveUp, Phase, Reason
from outlive.client.plan.sqlstate import kind_of
from outlive.errors import (
    CommitUnknownError,
    ConflictError,
    DemotedError,
    DurabilityNotMetError,
    OutliveError,
    RetryBudgetExceededError,
    UnavailableError,
)
from outlive.model.outcome import Outcome


class AttemptError(Exception):
    """An attempt of ours failed in a way that the driver has no exception for."""

    def __init__(self, failure: AttemptFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def classify(error: BaseException, phase: Phase, *, closed: bool) -> AttemptFailure | None:
    """The failure that an exception stands for, or None: it is the caller's own and passes through.

    `closed` says whether the connection is gone: the driver raises the same InterfaceError for that and for a
    caller's mistake.
    """
    match error:
        case AttemptError():
            return error.failure
        case asyncpg.PostgresError():
            return _classify_sqlstate(error, phase)
        case asyncpg.InternalClientError():
            return AttemptFailure(phase, FailureKind.LOST, _clause(error))
        case asyncpg.InterfaceError() | ConnectionError() if closed:
            return AttemptFailure(phase, FailureKind.LOST, _clause(error))
        case OSError() if phase is not Phase.BODY:
            return AttemptFailure(phase, FailureKind.LOST, _clause(error))
        case _:
            return None


def _classify_sqlstate(error: asyncpg.PostgresError, phase: Phase) -> AttemptFailure | None:
    sqlstate = error.sqlstate or ""
    if phase is Phase.BEGIN and (refused := _fence_failure(error, sqlstate)):
        return refused
    kind = kind_of(sqlstate)
    return None if kind is None else AttemptFailure(phase, kind, _clause(error), sqlstate)


def _fence_failure(error: asyncpg.PostgresError, sqlstate: str) -> AttemptFailure | None:
    if sqlstate == "55000":
        return AttemptFailure(Phase.BEGIN, FailureKind.DEMOTED, "the node is a standby now", sqlstate)
    message = str(error)
    if sqlstate != "22P02" or FENCE not in message:
        return None
    said = message.partition(FENCE)[2].rstrip('"')
    kind = FailureKind.DEMOTED if said.startswith("timeline") else FailureKind.DURABILITY
    return AttemptFailure(Phase.BEGIN, kind, said, sqlstate)


def to_error(failure: AttemptFailure, verdict: GiveUp, attempts: int, node: str) -> OutliveError:
    """The caller's error for a failure that is not tried again."""
    error = _plain_error(failure, node)
    if verdict.reason in {Reason.OUTCOME_UNKNOWN, Reason.LAST} or failure.kind is FailureKind.DURABILITY:
        return error
    exceeded = RetryBudgetExceededError(
        f"gave up after {attempts} attempts ({verdict.reason.value}): {error}", hint=error.hint, outcome=error.outcome
    )
    exceeded.__cause__ = error
    return exceeded


def _plain_error(failure: AttemptFailure, node: str) -> OutliveError:
    if failure.outcome is Outcome.UNKNOWN:
        return CommitUnknownError(f"{node}: the outcome of the {failure.phase.value} is unknown: {failure.message}")
    make: Callable[[str], OutliveError]
    match failure.kind:
        case FailureKind.CONFLICT:
            make = ConflictError
        case FailureKind.DEMOTED:
            make = DemotedError
        case FailureKind.DURABILITY:
            make = DurabilityNotMetError
        case _:
            make = UnavailableError
    return make(f"{node}: {failure.message}")


def _clause(error: BaseException) -> str:
    return str(error) or type(error).__name__

"""From the driver's exceptions to facts that the plan can judge, and from a verdict to the caller's error."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import asyncpg

from outlive.client.plan.begin import FENCE
from outlive.client.plan.retry import AttemptFailure, FailureKind, GiveUp, Phase, Reason
from outlive.client.plan.sqlstate import READ_ONLY, kind_of, kind_of_read_only
from outlive.client.wire import DEADLINE_CAME, Wire
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

READ_ONLY_SETTING = "default_transaction_read_only"
_READ_ONLY_HINT = (
    f"Log in with a role that may write, or take {READ_ONLY_SETTING} back where it was set: ALTER ROLE ... RESET, "
    "ALTER DATABASE ... RESET, or the server's configuration."
)
UNREPLICATED = "it is on the primary's disk, and the wait for a synchronous standby was cancelled"


class AttemptError(Exception):
    """An attempt failed in a way that the driver has no exception for."""

    def __init__(self, failure: AttemptFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def diagnose(error: BaseException, phase: Phase, wire: Wire | None) -> AttemptFailure | None:
    """The failure that an exception stands for, or None: it is the caller's own and passes through.

    To be asked before the connection is touched again, as what happens to it later says nothing of the cause.
    """
    closed = wire is not None and not wire.is_open
    match error:
        case AttemptError():
            return error.failure
        case asyncpg.InvalidSQLStatementNameError() if phase is Phase.BEGIN:
            return AttemptFailure(phase, FailureKind.CONFLICT, "its prepared statements were gone")
        case asyncpg.ReadOnlySQLTransactionError() if phase is not Phase.READ and wire is not None and wire.is_open:
            return _of_read_only(error, phase, wire)
        case asyncpg.PostgresError() if kind := _kind_of(error, phase):
            return AttemptFailure(phase, *_blamed(wire, kind, _clause(error, phase)), sqlstate=error.sqlstate)
        case asyncpg.InternalClientError():
            return AttemptFailure(phase, *_blamed(wire, FailureKind.LOST, "the connection was lost"))
        case asyncpg.InterfaceError() | ConnectionError() | AttributeError() if closed:
            # The driver has the same InterfaceError for a closed connection and for a caller's mistake, and one that is
            # cut between two of its own steps trips over the protocol object that it has dropped.
            return AttemptFailure(phase, *_blamed(wire, FailureKind.LOST, "the connection was lost"))
        case OSError() if phase is Phase.CONNECT:
            return AttemptFailure(phase, FailureKind.UNREACHABLE, _clause(error, phase))
        case _:
            return None


def is_of_fence(error: Exception) -> bool:
    """Whether it is the fence's refusal: our own words, or a standby's that has no insert position."""
    if not isinstance(error, asyncpg.PostgresError):
        return False
    return FENCE in str(error) or getattr(error, "server_source_function", None) == "pg_current_wal_insert_lsn"


def _kind_of(error: asyncpg.PostgresError, phase: Phase) -> FailureKind | None:
    sqlstate = error.sqlstate or ""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        # A migration came between: the driver has dropped what it had prepared, and prepares it anew next time.
        return FailureKind.CONFLICT
    if phase is Phase.BEGIN and sqlstate == "55000":
        return FailureKind.DEMOTED
    if phase is Phase.BEGIN and FENCE in str(error):
        return FailureKind.DEMOTED if "timeline" in str(error) else FailureKind.DURABILITY
    if phase is Phase.READ and sqlstate == READ_ONLY:
        # A read has nothing that a standby refuses: the statement is a write, and belongs elsewhere.
        return None
    return kind_of(sqlstate)


def _of_read_only(error: asyncpg.PostgresError, phase: Phase, wire: Wire) -> AttemptFailure | None:
    kind = kind_of_read_only(wire.told("in_hot_standby"), wire.told(READ_ONLY_SETTING))
    if kind is None:
        return None
    message = f"{READ_ONLY_SETTING} is on there: {error}" if kind is FailureKind.READ_ONLY else str(error)
    return AttemptFailure(phase, kind, message, sqlstate=error.sqlstate)


def _blamed(wire: Wire | None, kind: FailureKind, message: str) -> tuple[FailureKind, str]:
    """A connection that this client cut was lost for the reason it was cut for."""
    if wire is None or wire.cut_reason is None or kind is not FailureKind.LOST:
        return kind, message
    return FailureKind.OVERDUE if wire.cut_reason == DEADLINE_CAME else kind, wire.cut_reason


def _clause(error: BaseException, phase: Phase) -> str:
    text = str(error) or type(error).__name__
    return text.partition(FENCE)[2].rstrip('"') if phase is Phase.BEGIN and FENCE in text else text


_PLAIN = frozenset({Reason.OUTCOME_UNKNOWN, Reason.NOT_REPEATABLE, Reason.FORBIDDEN})


def to_error(failure: AttemptFailure, verdict: GiveUp, attempts: int, node: str) -> OutliveError:
    """The caller's error for a failure that is not tried again."""
    error = _error_of(failure, node)
    if verdict.reason in _PLAIN or failure.kind is FailureKind.DURABILITY:
        return error
    message = f"gave up after {attempts} attempts ({verdict.reason.value}): {error}"
    exceeded = RetryBudgetExceededError(message, hint=error.hint, outcome=error.outcome)
    exceeded.__cause__ = error
    return exceeded


def _error_of(failure: AttemptFailure, node: str) -> OutliveError:
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
        case FailureKind.READ_ONLY:
            make = partial(ConfigurationError, hint=_READ_ONLY_HINT)
        case _:
            make = UnavailableError
    return make(f"{node}: {failure.message}")

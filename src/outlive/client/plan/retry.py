"""Whether a failed attempt is made again, and after how long.

An attempt passes the phases CONNECT, BEGIN, BODY, COMMIT; a single autocommitted statement has CONNECT and
STATEMENT; a read has CONNECT and READ. Up to BODY a lost connection means that the server rolled back:
nothing was applied. In COMMIT and STATEMENT the same loss leaves the outcome unknown.

Invariant: an attempt whose outcome is UNKNOWN is made again only if the caller declared it idempotent.
The pause before attempt n is drawn evenly from 0 to min(cap, first * 2**(n-1)).

Source: Marc Brooker, "Exponential Backoff And Jitter" (full jitter).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from outlive.model.deadline import Deadline
from outlive.model.outcome import Outcome


class Phase(Enum):
    """How far an attempt had come when it failed."""

    CONNECT = "connect"
    BEGIN = "begin"
    BODY = "body"
    COMMIT = "commit"
    STATEMENT = "statement"
    READ = "read"


class FailureKind(Enum):
    """Why an attempt failed, as far as the next step depends on it."""

    CONFLICT = "conflict"
    LOST = "lost"
    DEMOTED = "demoted"
    READ_ONLY = "read only"
    """A setting makes every transaction read only, on a node that is the primary."""
    UNREACHABLE = "unreachable"
    DURABILITY = "durability"
    UNREPLICATED = "unreplicated"
    """The commit is on the primary's disk and the wait for a standby was cancelled."""
    OVERDUE = "overdue"
    """The deadline came, and the connection was aborted for it."""


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """One failed attempt. `message` is one clause, fit for the end of a sentence."""

    phase: Phase
    kind: FailureKind
    message: str
    sqlstate: str | None = None

    @property
    def outcome(self) -> Outcome:
        """What became of the attempt's change."""
        match self.kind:
            case FailureKind.LOST | FailureKind.UNREPLICATED | FailureKind.OVERDUE:
                unknown = self.phase in {Phase.COMMIT, Phase.STATEMENT}
                return Outcome.UNKNOWN if unknown else Outcome.NOT_APPLIED
            case FailureKind.CONFLICT | FailureKind.DEMOTED | FailureKind.UNREACHABLE | FailureKind.DURABILITY:
                return Outcome.NOT_APPLIED
            case FailureKind.READ_ONLY:
                return Outcome.NOT_APPLIED
            case _:
                assert_never(self.kind)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much an operation may try: `attempts` in all, and until `deadline`."""

    attempts: int
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pauses between attempts, in seconds."""

    first_s: float = 0.02
    cap_s: float = 1.0

    def pause_s(self, attempt: int, chance: float) -> float:
        """The pause after attempt number `attempt` (from 1); `chance` lies in [0, 1)."""
        return min(self.cap_s, self.first_s * 2.0 ** min(attempt - 1, 32)) * chance


@dataclass(frozen=True, slots=True)
class Retry:
    """Make the attempt again after a pause."""

    after_s: float


class Reason(Enum):
    """Why no further attempt is made."""

    OUTCOME_UNKNOWN = "outcome unknown"
    ATTEMPTS_SPENT = "attempts spent"
    TIME_SPENT = "time spent"
    NOT_REPEATABLE = "not repeatable"
    FORBIDDEN = "forbidden by a setting"


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Make no further attempt."""

    reason: Reason


def decide(
    failure: AttemptFailure,
    *,
    attempt: int,
    idempotent: bool,
    budget: Budget,
    now: float,
    chance: float,
    backoff: Backoff = Backoff(),
) -> Retry | GiveUp:
    """What to do after attempt number `attempt` (from 1) failed; `chance` lies in [0, 1)."""
    if failure.outcome is Outcome.UNKNOWN and not idempotent:
        return GiveUp(Reason.OUTCOME_UNKNOWN)
    if failure.kind is FailureKind.READ_ONLY:
        return GiveUp(Reason.FORBIDDEN)
    if attempt >= budget.attempts:
        return GiveUp(Reason.ATTEMPTS_SPENT)
    after_s = backoff.pause_s(attempt, chance)
    if budget.deadline.remaining_s(now) <= after_s:
        return GiveUp(Reason.TIME_SPENT)
    return Retry(after_s)

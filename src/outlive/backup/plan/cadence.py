"""When the next piece of the segment that is being written goes to the store.

Theory of operation. Each put costs money and a round trip, each wait is WAL that the loss of every node would take.
So a piece goes out soon after the WAL was written while puts are to spare, and at the slow pace when they are not:

    nothing was sent within `quick_s`      at once: the first commit after a pause does not wait
    a piece of `piece_bytes` has gathered  at once, `full_s` apart: under load the volume pays for the put
    tokens are left                        `quick_s` after the last one
    none are left                          `slow_s` after the last one, which is what the tokens refill at
    nothing was written                    after `mark_s` a mark that says so, so that the store proves the present

Times run from one sending to the next, whenever the store answers: a slow put delays no other.

Invariant: WAL is never due later than `slow_s` after the last sending, a mark never later than `mark_s`; both stay
below the objective. Of pieces below `piece_bytes`, no more are sent in a time t than `burst` + t / `slow_s` + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

OBJECTIVE_S = 5.0
"""Seconds of commits that the loss of every node may take."""


class Due(Enum):
    """What is to be put now."""

    PIECE = "piece"
    MARK = "mark"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """The paces, in seconds; `burst` quick puts may be made in a row before the slow pace begins."""

    full_s: float = 0.1
    quick_s: float = 0.2
    slow_s: float = 1.2
    mark_s: float = 3.0
    burst: int = 150
    piece_bytes: int = 256 * 1024

    @classmethod
    def within(cls, objective_s: float) -> Cadence:
        """The paces that leave a put half of the objective to arrive in."""
        return cls(
            full_s=min(0.1, objective_s / 10),
            quick_s=min(0.2, objective_s / 10),
            slow_s=min(1.2, objective_s * 0.4),
            mark_s=min(3.0, objective_s * 0.6),
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """Where the cadence stands: quick puts to spare, as of the last sending at `sent_at` (monotonic seconds)."""

    tokens: float
    sent_at: float

    @classmethod
    def start(cls, cadence: Cadence, now: float) -> Pace:
        """Rested: everything is to spare, and the last sending is long ago."""
        return cls(float(cadence.burst), now - cadence.mark_s)

    def at(self, now: float, cadence: Cadence) -> float:
        """The quick puts to spare at `now`."""
        return min(float(cadence.burst), self.tokens + (now - self.sent_at) / cadence.slow_s)


def due(pace: Pace, waiting_bytes: int, now: float, cadence: Cadence) -> Due:
    """What is to be sent at `now`, with `waiting_bytes` of WAL that nothing has taken yet."""
    since_s = now - pace.sent_at
    if waiting_bytes == 0:
        return Due.MARK if since_s >= cadence.mark_s else Due.NOTHING
    return Due.PIECE if since_s >= _apart_s(pace, waiting_bytes, now, cadence) else Due.NOTHING


def due_in_s(pace: Pace, waiting_bytes: int, now: float, cadence: Cadence) -> float:
    """The seconds until what waits is due, unless more of it makes that sooner; 0 when it is."""
    return max(0.0, pace.sent_at + _apart_s(pace, waiting_bytes, now, cadence) - now)


def after_sending(pace: Pace, sent_bytes: int, now: float, cadence: Cadence) -> Pace:
    """Where the cadence stands after a sending at `now`; one that was full of WAL costs no token."""
    tokens = pace.at(now, cadence)
    return Pace(tokens if sent_bytes >= cadence.piece_bytes else max(0.0, tokens - 1.0), now)


def _apart_s(pace: Pace, waiting_bytes: int, now: float, cadence: Cadence) -> float:
    if waiting_bytes >= cadence.piece_bytes:
        return cadence.full_s
    return cadence.quick_s if pace.at(now, cadence) >= 1.0 else cadence.slow_s

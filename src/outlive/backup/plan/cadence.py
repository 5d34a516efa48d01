"""When the next piece of the segment that is being written goes to the store.

Theory of operation. Each put costs money and a round trip, each wait is WAL that the loss of every node would take.
So a piece goes out soon after the WAL was written while puts are to spare, and at the slow pace when they are not:

    nothing was put within `quick_s`      at once: the first commit after a pause does not wait
    a piece of `piece_bytes` has gathered  at once, `quick_s` apart: under full load the volume pays for the put
    tokens are left                        `quick_s` after the last put
    none are left                          `slow_s` after the last put, which is what the tokens refill at
    nothing was written                    after `mark_s` a mark that says so, so that the store proves the present

Invariant: WAL is never due later than `slow_s` after the last put, a mark never later than `mark_s`; both stay below
the objective. Of pieces below `piece_bytes`, no more are put in a time t than `burst` + t / `slow_s` + 1.
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

    quick_s: float = 0.2
    slow_s: float = 2.0
    mark_s: float = 3.0
    burst: int = 150
    piece_bytes: int = 1024 * 1024

    @classmethod
    def within(cls, objective_s: float) -> Cadence:
        """The paces that leave a put half of the objective to arrive in."""
        return cls(
            quick_s=min(0.2, objective_s / 10), slow_s=min(2.0, objective_s * 0.4), mark_s=min(3.0, objective_s * 0.6)
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """Where the cadence stands: quick puts to spare, as of the last put at `put_at` (monotonic seconds)."""

    tokens: float
    put_at: float

    @classmethod
    def start(cls, cadence: Cadence, now: float) -> Pace:
        """Rested: everything is to spare, and the last put is long ago."""
        return cls(float(cadence.burst), now - cadence.mark_s)

    def at(self, now: float, cadence: Cadence) -> float:
        """The quick puts to spare at `now`."""
        return min(float(cadence.burst), self.tokens + (now - self.put_at) / cadence.slow_s)


def due(pace: Pace, waiting_bytes: int, now: float, cadence: Cadence) -> Due:
    """What is to be put at `now`, with `waiting_bytes` of WAL that no put has taken yet."""
    since_s = now - pace.put_at
    if waiting_bytes == 0:
        return Due.MARK if since_s >= cadence.mark_s else Due.NOTHING
    quick = waiting_bytes >= cadence.piece_bytes or pace.at(now, cadence) >= 1.0
    return Due.PIECE if since_s >= (cadence.quick_s if quick else cadence.slow_s) else Due.NOTHING


def after_put(pace: Pace, put_bytes: int, now: float, cadence: Cadence) -> Pace:
    """Where the cadence stands after a put at `now`; one that was full of WAL costs no token."""
    tokens = pace.at(now, cadence)
    return Pace(tokens if put_bytes >= cadence.piece_bytes else max(0.0, tokens - 1.0), now)

"""How an archiver goes on while its store fails: when it tries again, and what it tells PostgreSQL meanwhile.

Theory of operation. PostgreSQL asks for one file at a time and keeps what was refused, so nothing is lost by a no;
but it waits for the answer, even while it shuts down. So a failing store is asked at growing intervals, with chance
in them so that the nodes don't ask together, and between two tries PostgreSQL gets its no at once.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_S = 0.5
LIMIT_S = 10.0
ANSWER_LIMIT_S = 30.0
"""How long PostgreSQL waits for a push while the store works; a push that takes longer goes on in the background."""
FAILING_ANSWER_LIMIT_S = 2.0
"""How long it waits while the store fails: a shutdown asks three times."""


@dataclass(frozen=True, slots=True)
class Works:
    """The last push was done."""


@dataclass(frozen=True, slots=True)
class Fails:
    """`failures` pushes in a row have failed, the last with `error`; the next try is at `again_at` (monotonic)."""

    failures: int
    error: str
    again_at: float


Health = Works | Fails


def after_failure(health: Health, error: str, now: float, chance: float) -> Fails:
    """After a push that failed at `now`; `chance` lies between 0 and 1."""
    failures = health.failures + 1 if isinstance(health, Fails) else 1
    wait_s = min(FIRST_S * 2.0 ** min(failures - 1, 10), LIMIT_S)
    return Fails(failures, error, now + wait_s * (0.5 + chance / 2))


def may_try(health: Health, now: float) -> bool:
    """Whether a push may be begun."""
    return isinstance(health, Works) or now >= health.again_at


def answer_limit_s(health: Health) -> float:
    """How long PostgreSQL may wait for the answer."""
    return ANSWER_LIMIT_S if isinstance(health, Works) else FAILING_ANSWER_LIMIT_S

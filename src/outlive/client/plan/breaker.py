"""The circuit to one node in one role: whether callers may try to connect to it.

    CLOSED     callers connect; so many failures in a row open it
    OPEN       nobody connects; only a later word of the watch moves it on
    HALF_OPEN  the watch has heard the node since: one caller may try
    ON_TRIAL   that caller is trying; its success closes the circuit, its failure opens it

Invariant: an open circuit never lets a caller through before the watch has heard the node again. A node that
changes its role gets a new circuit: what a standby's failures taught says nothing about the primary it became.

Source: Michael Nygard, "Release It!", Circuit Breaker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from outlive.model.topology import Role

THRESHOLD = 5


class State(Enum):
    """Whether callers may connect."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"
    ON_TRIAL = "on trial"


@dataclass(frozen=True, slots=True)
class Breaker:
    """One circuit; `failures` counts those in a row, `opened_at` is in seconds on the monotonic clock."""

    role: Role | None = None
    state: State = State.CLOSED
    failures: int = 0
    opened_at: float = 0.0

    @property
    def admits(self) -> bool:
        """Whether a caller may try now."""
        return self.state in {State.CLOSED, State.HALF_OPEN}


FRESH = Breaker()


def tried(breaker: Breaker) -> Breaker:
    """A caller was let through."""
    return replace(breaker, state=State.ON_TRIAL) if breaker.state is State.HALF_OPEN else breaker


def succeeded(breaker: Breaker) -> Breaker:
    """A caller connected."""
    return replace(breaker, state=State.CLOSED, failures=0)


def failed(breaker: Breaker, now: float) -> Breaker:
    """A caller could not connect."""
    failures = breaker.failures + 1
    if breaker.state is State.CLOSED and failures < THRESHOLD:
        return replace(breaker, failures=failures)
    return replace(breaker, state=State.OPEN, failures=failures, opened_at=now)


def left(breaker: Breaker) -> Breaker:
    """A caller gave up by itself, and learned nothing."""
    return replace(breaker, state=State.HALF_OPEN) if breaker.state is State.ON_TRIAL else breaker


def heard(breaker: Breaker, role: Role, asked_at: float) -> Breaker:
    """The watch asked the node at `asked_at`, and it answered."""
    if breaker.role is not role:
        # The first word about a node says nothing against it; a later change of role makes the circuit new.
        return Breaker(role) if breaker.role is not None else heard(replace(breaker, role=role), role, asked_at)
    if breaker.state is State.OPEN and asked_at > breaker.opened_at:
        return replace(breaker, state=State.HALF_OPEN)
    return breaker

"""The circuit to one node in one role."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from outlive.client.plan import breaker
from outlive.client.plan.breaker import FRESH, THRESHOLD, Breaker, State
from outlive.model.topology import Role

Event = Callable[[Breaker], Breaker]

fails = partial(breaker.failed, now=10.0)
heard_before = partial(breaker.heard, role=Role.STANDBY, asked_at=9.0)
heard_after = partial(breaker.heard, role=Role.STANDBY, asked_at=11.0)
promoted = partial(breaker.heard, role=Role.PRIMARY, asked_at=11.0)

CLOSED = Breaker(Role.STANDBY)
OPEN = Breaker(Role.STANDBY, State.OPEN, THRESHOLD, 10.0)
HALF_OPEN = Breaker(Role.STANDBY, State.HALF_OPEN, THRESHOLD, 10.0)
ON_TRIAL = Breaker(Role.STANDBY, State.ON_TRIAL, THRESHOLD, 10.0)


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        (CLOSED, fails, State.CLOSED),
        (CLOSED, breaker.tried, State.CLOSED),
        (CLOSED, breaker.left, State.CLOSED),
        (OPEN, breaker.tried, State.OPEN),
        (OPEN, fails, State.OPEN),
        (OPEN, heard_before, State.OPEN),
        (OPEN, heard_after, State.HALF_OPEN),
        (OPEN, promoted, State.CLOSED),
        (HALF_OPEN, breaker.tried, State.ON_TRIAL),
        (HALF_OPEN, heard_after, State.HALF_OPEN),
        (ON_TRIAL, breaker.succeeded, State.CLOSED),
        (ON_TRIAL, fails, State.OPEN),
        (ON_TRIAL, breaker.left, State.HALF_OPEN),
        (ON_TRIAL, heard_after, State.ON_TRIAL),
        (FRESH, heard_after, State.CLOSED),
    ],
)
def test_each_event_moves_the_circuit_where_it_should(before: Breaker, event: Event, after: State) -> None:
    """The table of the states."""
    assert event(before).state is after


def test_so_many_failures_in_a_row_open_it() -> None:
    """A success in between begins the count anew."""
    circuit = CLOSED
    for _ in range(THRESHOLD - 1):
        circuit = fails(circuit)
    assert fails(circuit).state is State.OPEN
    assert fails(breaker.succeeded(circuit)).state is State.CLOSED


def test_an_open_circuit_admits_nobody_before_the_watch_heard_the_node() -> None:
    """A caller's try changes nothing; the watch's word lets one caller through."""
    assert not breaker.tried(OPEN).admits
    assert heard_after(OPEN).admits
    assert not breaker.tried(heard_after(OPEN)).admits

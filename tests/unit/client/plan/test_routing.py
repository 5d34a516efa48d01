"""Which node serves a call."""

from __future__ import annotations

from functools import reduce

import pytest

from outlive.client.plan.routing import route_read, route_write
from outlive.client.plan.topology import NoPrimary, Observation, SplitBrain, View, merge
from outlive.model.freshness import Eventual, Strong
from outlive.model.topology import NodeSilence
from unit.client.plan.nodes import address, primary, silence, standby


def told(*news: Observation | NodeSilence) -> View:
    """The picture after this news."""
    return reduce(merge, news, View())


WHOLE = told(primary("a"), standby("b"), standby("c"))


def test_eventual_reads_take_turns() -> None:
    """Round robin over the fit standbys."""
    routes = [route_read(WHOLE, Eventual(), now=0.0, max_lag_s=10.0, turn=turn) for turn in range(4)]
    assert routes == [address("b"), address("c"), address("b"), address("c")]


def test_strong_reads_and_writes_go_to_the_primary() -> None:
    """The one node that has every acknowledged write."""
    assert route_read(WHOLE, Strong(), now=0.0, max_lag_s=10.0, turn=1) == address("a") == route_write(WHOLE)


@pytest.mark.parametrize(
    "view",
    [
        told(primary("a")),
        told(primary("a"), silence("b")),
        told(primary("a", lsn=100), standby("b", lsn=99)),
        told(primary("a", 2), standby("b", 1)),
    ],
    ids=["no standby", "a silent standby", "unknown lag", "an older timeline"],
)
def test_without_a_fit_standby_the_primary_reads(view: View) -> None:
    """The primary serves an eventual read when no standby may."""
    assert route_read(view, Eventual(), now=0.0, max_lag_s=10.0, turn=0) == address("a")


def test_a_standbys_lag_grows_while_it_is_not_heard() -> None:
    """Facts age: a standby last heard too long ago is unfit."""
    assert route_read(WHOLE, Eventual(), now=10.1, max_lag_s=10.0, turn=0) == address("a")


def test_standbys_serve_while_there_is_no_primary() -> None:
    """A dead primary does not stop eventual reads within the bound."""
    view = merge(WHOLE, silence("a"))
    assert route_read(view, Eventual(), now=5.0, max_lag_s=10.0, turn=0) == address("b")
    assert isinstance(route_read(view, Eventual(), now=11.0, max_lag_s=10.0, turn=0), NoPrimary)


def test_split_brain_takes_no_write() -> None:
    """Nobody is chosen of two."""
    assert isinstance(route_write(told(primary("a"), primary("b"))), SplitBrain)

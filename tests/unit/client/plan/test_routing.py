"""Which node serves a call."""

from __future__ import annotations

from functools import reduce

import pytest

from outlive.client.plan.routing import Mark, Preference, Standby, route_read, route_write
from outlive.client.plan.topology import NoPrimary, Observation, SplitBrain, View, merge
from outlive.model.freshness import Bounded, Eventual, Session, Strong
from outlive.model.lsn import Lsn
from outlive.model.topology import Address, NodeSilence
from unit.client.plan.nodes import address, primary, silence, standby


def told(*news: Observation | NodeSilence) -> View:
    """The picture after this news."""
    return reduce(merge, news, View())


WHOLE = told(primary("a"), standby("b"), standby("c"))


def test_eventual_reads_take_turns() -> None:
    """Round robin over the fit standbys."""
    routes = [route_read(WHOLE, Eventual(), now=0.0, preference=Preference(10.0), turn=turn) for turn in range(4)]
    assert routes == [address("b"), address("c"), address("b"), address("c")]


def test_strong_reads_and_writes_go_to_the_primary() -> None:
    """The one node that has every acknowledged write."""
    assert (
        route_read(WHOLE, Strong(), now=0.0, preference=Preference(10.0), turn=1) == address("a") == route_write(WHOLE)
    )


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
    assert route_read(view, Eventual(), now=0.0, preference=Preference(10.0), turn=0) == address("a")


def test_a_standbys_lag_grows_while_it_is_not_heard() -> None:
    """Facts age: a standby last heard too long ago is unfit."""
    assert route_read(WHOLE, Eventual(), now=10.1, preference=Preference(10.0), turn=0) == address("a")


def test_standbys_serve_while_there_is_no_primary() -> None:
    """A dead primary does not stop eventual reads within the bound."""
    view = merge(WHOLE, silence("a"))
    assert route_read(view, Eventual(), now=5.0, preference=Preference(10.0), turn=0) == address("b")
    assert isinstance(route_read(view, Eventual(), now=11.0, preference=Preference(10.0), turn=0), NoPrimary)


def test_split_brain_takes_no_write() -> None:
    """Nobody is chosen of two."""
    assert isinstance(route_write(told(primary("a"), primary("b"))), SplitBrain)


# The primary was at 100 at second 0, at 200 at second 10; c has the former, b the latter too.
UNEVEN = told(
    primary("a", at=0.0), primary("a", lsn=200, at=10.0), standby("b", lsn=200, at=10.1), standby("c", at=10.1)
)


def session_route(view: View, mark: Mark, turn: int = 0) -> str:
    """The host that serves a session's read at second 10.2."""
    route = route_read(view, Session(), now=10.2, preference=Preference(60.0), turn=turn, mark=mark)
    return route.host if isinstance(route, Address) else type(route).__name__


@pytest.mark.parametrize(
    ("mark", "hosts"),
    [
        (Mark(), {"b", "c"}),
        (Mark(wrote_at=5.0), {"b"}),
        (Mark(wrote_at=10.15), {"a"}),
        (Mark(lsn=Lsn(150)), {"b"}),
        (Mark(lsn=Lsn(250)), {"a"}),
        (Mark(read_at=10.15, follows=Standby(address("c"), 0)), {"c"}),
        (Mark(read_at=10.15, follows=Standby(address("d"), 0)), {"a"}),
        (Mark(read_at=5.0, follows=Standby(address("d"), 0)), {"b"}),
        (Mark(read_at=10.15, wrote_at=5.0, follows=Standby(address("c"), 0)), {"a"}),
        (Mark(read_at=10.15, follows=Standby(address("c"), 1)), {"a"}),
    ],
    ids=[
        "a new session",
        "c lacks what was written",
        "no standby is known to have it yet",
        "c lacks what the token's session saw",
        "nobody but the primary has it",
        "it stays with its standby",
        "its standby is gone, nobody else is known to have what it read",
        "its standby is gone, another has what it read",
        "its standby lacks what was written",
        "its standby was restarted",
    ],
)
def test_a_session_reads_where_its_writes_and_reads_are(mark: Mark, hosts: set[str]) -> None:
    """A standby that holds all of both, the one it read from first; else the primary."""
    assert {session_route(UNEVEN, mark, turn) for turn in range(4)} == hosts


def test_a_bounded_read_brings_its_own_bound() -> None:
    """The bound counts, whatever the client's own is."""
    routes = {
        seconds: {
            route_read(UNEVEN, Bounded(seconds), now=10.2, preference=Preference(60.0), turn=turn) for turn in range(2)
        }
        for seconds in (0.1, 1.0, 20.0)
    }
    assert routes == {0.1: {address("a")}, 1.0: {address("b")}, 20.0: {address("b"), address("c")}}


def test_an_open_circuit_is_kept_away_from() -> None:
    """A standby that nobody can connect to serves nothing."""
    shut = Preference(10.0, shut={address("b")})
    assert {route_read(WHOLE, Eventual(), now=0.0, preference=shut, turn=turn) for turn in range(4)} == {address("c")}


@pytest.mark.parametrize(
    ("view", "hosts"),
    [
        (told(primary("a", region="us"), standby("b", region="us"), standby("c", region="eu")), {"c"}),
        (told(primary("a", region="eu"), standby("b", region="us"), standby("c", region="us")), {"a"}),
        (told(primary("a", region="us"), standby("b", region="us"), standby("c")), {"b", "c"}),
        (told(primary("a", region="us")), {"a"}),
    ],
    ids=["a standby of the region", "the region's primary", "standbys of other regions", "whatever is left"],
)
def test_the_nearest_region_reads_first(view: View, hosts: set[str]) -> None:
    """Standbys of the region, its primary, other standbys, the primary: in this order."""
    near = Preference(10.0, region="eu")
    for read in (Eventual(), Bounded(10.0), Session()):
        routes = [route_read(view, read, now=0.0, preference=near, turn=turn) for turn in range(4)]
        assert {route.host for route in routes if isinstance(route, Address)} == hosts

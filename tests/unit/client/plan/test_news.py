"""Which events lie between two pictures of a cluster."""

from outlive.client.plan.news import between
from outlive.client.plan.synchronous import Synchronous
from outlive.client.plan.topology import Observation, View, merge
from outlive.model.lsn import Lsn, Timeline
from outlive.model.topology import Address, NodeFacts, NodeSilence, Role
from outlive.telemetry.events import (
    DurabilityDegraded,
    DurabilityRestored,
    PrimaryFound,
    PrimaryLost,
    TopologyChanged,
)

A, B = Address("a", 1), Address("b", 1)
SYNCHRONOUS = Synchronous("ANY 1 (b)", ("b",))
ALONE = Synchronous("ANY 1 (b)", ())


def primary(address: Address, timeline: int, synchronous: Synchronous = SYNCHRONOUS, at: float = 0.0) -> Observation:
    """A node that takes writes."""
    facts = NodeFacts(address, "1", Role.PRIMARY, Timeline(timeline), Lsn(int(at) + 1), 0.0, at)
    return Observation(facts, synchronous)


def told(view: View, news: Observation | NodeSilence) -> tuple[View, list[type]]:
    """The picture after the news, and the kinds of events between."""
    after = merge(view, news)
    return after, [type(event) for event in between(view, after)]


def test_a_primary_is_found_lost_and_followed() -> None:
    """Each change of the primary is told once, with the durability that it offers."""
    view, events = told(View(), primary(A, 1))
    assert events == [TopologyChanged, PrimaryFound, DurabilityRestored]
    view, events = told(view, NodeSilence(A, "it refuses connections", 1.0))
    assert events == [TopologyChanged, PrimaryLost]
    view, events = told(view, primary(B, 2, ALONE))
    assert events == [TopologyChanged, PrimaryFound, DurabilityDegraded]


def test_a_promotion_unnoticed_in_between_is_a_loss_and_a_find() -> None:
    """A new primary on a higher timeline replaces one that still answers."""
    view, _ = told(View(), primary(A, 1))
    _, events = told(view, primary(B, 2))
    assert events == [TopologyChanged, PrimaryLost, PrimaryFound, DurabilityRestored]


def test_a_new_position_is_no_news() -> None:
    """What changes with each probe is not told."""
    view, _ = told(View(), primary(A, 1))
    assert told(view, primary(A, 1, at=5.0))[1] == []


def test_the_loss_of_the_synchronous_standby_is_told_once() -> None:
    """Durability is told as it changes, not as it lasts."""
    view, _ = told(View(), primary(A, 1))
    view, events = told(view, primary(A, 1, ALONE, at=1.0))
    assert events == [DurabilityDegraded]
    view, events = told(view, primary(A, 1, ALONE, at=2.0))
    assert events == []
    assert told(view, primary(A, 1, at=3.0))[1] == [DurabilityRestored]

"""What changed between two pictures of a cluster, as events.

Positions and lags change with each probe and are no news; roles, timelines and silence are.
"""

from __future__ import annotations

from collections.abc import Iterator

from outlive.client.plan.synchronous import InForce, NotInForce
from outlive.client.plan.topology import NoPrimary, Primary, SplitBrain, View
from outlive.model.topology import Address
from outlive.telemetry.events import (
    DurabilityDegraded,
    DurabilityRestored,
    Event,
    PrimaryFound,
    PrimaryLost,
    TopologyChanged,
)


def between(before: View, after: View) -> Iterator[Event]:
    """The events that lie between two pictures, in the order in which they are told."""
    if _shape(before) != _shape(after):
        yield TopologyChanged(after.topology)
    lost, found = before.writable, after.writable
    moved = _who(lost) != _who(found)
    if moved and isinstance(lost, Primary):
        yield PrimaryLost(lost.address, _why(found))
    if moved and isinstance(found, Primary):
        yield PrimaryFound(found.address, found.facts.timeline)
    if isinstance(found, Primary):
        yield from _durability(None if moved or not isinstance(lost, Primary) else lost, found)


def _durability(before: Primary | None, after: Primary) -> Iterator[Event]:
    match after.synchronous:
        case NotInForce(reason) if before is None or isinstance(before.synchronous, InForce):
            yield DurabilityDegraded(after.address, reason)
        case InForce() if before is None or isinstance(before.synchronous, NotInForce):
            yield DurabilityRestored(after.address)
        case _:
            return


def _shape(view: View) -> tuple[frozenset[object], frozenset[Address]]:
    nodes = frozenset((known.facts.address, known.facts.role, known.facts.timeline) for known in view.observed)
    return nodes, frozenset(silence.address for silence in view.silent)


def _who(writable: Primary | NoPrimary | SplitBrain) -> object:
    return (writable.address, writable.facts.timeline) if isinstance(writable, Primary) else None


def _why(writable: Primary | NoPrimary | SplitBrain) -> str:
    match writable:
        case Primary() as other:
            return f"{other.address} is the primary on timeline {other.facts.timeline}"
        case NoPrimary(reason):
            return reason
        case SplitBrain(addresses, timeline):
            return f"{' and '.join(map(str, addresses))} both take writes on timeline {timeline}"

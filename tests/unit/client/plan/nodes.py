"""Nodes as the plans see them, in a line each."""

from __future__ import annotations

from outlive.client.plan.synchronous import Synchronous
from outlive.client.plan.topology import Observation
from outlive.model.lsn import Lsn, Timeline
from outlive.model.topology import Address, NodeFacts, NodeSilence, Role

IN_FORCE = Synchronous("ANY 1 (b,c)", ("b", "c"))


def address(name: str) -> Address:
    """Where the node of that name listens."""
    return Address(name, 5432)


def primary(
    name: str, timeline: int = 1, *, lsn: int = 100, at: float = 0.0, cluster: str = "ours",
    synchronous: Synchronous | None = IN_FORCE, region: str | None = None,
) -> Observation:  # fmt: skip
    """A node that takes writes."""
    facts = NodeFacts(address(name), cluster, Role.PRIMARY, Timeline(timeline), Lsn(lsn), 0.0, at, 0, region=region)
    return Observation(facts, synchronous)


def standby(
    name: str, timeline: int = 1, *, lsn: int = 100, at: float = 0.0, cluster: str = "ours", visit: int = 0,
    region: str | None = None,
) -> Observation:  # fmt: skip
    """A node that replays."""
    line = Timeline(timeline)
    facts = NodeFacts(address(name), cluster, Role.STANDBY, line, Lsn(lsn), None, at, region=region)
    return Observation(facts, visit=visit)


def silence(name: str, at: float = 0.0) -> NodeSilence:
    """A node that did not answer."""
    return NodeSilence(address(name), "it did not answer", at)

"""A cluster in memory, and a topology source that tells of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from conformance.topology_source import Subject
from outlive.client.plan.synchronous import Synchronous
from outlive.client.plan.topology import Observation
from outlive.model.lsn import Lsn, Timeline
from outlive.model.topology import Address, NodeFacts, NodeSilence, Role


class FakeCluster(Subject):
    """Nodes at the given addresses, the first of them the primary; standbys have whatever it has."""

    def __init__(self, addresses: tuple[Address, ...], system_identifier: str = "1") -> None:
        self.addresses = addresses
        self.primary: Address | None = addresses[0]
        self.timeline = 1
        self.lsn = 1000
        self.frozen: set[Address] = set()
        self.source = self._watch
        self._system_identifier = system_identifier

    async def write(self) -> None:
        """Move the position on."""
        self.lsn += 100

    async def switch_over(self) -> None:
        """Make the next node the primary, on the next timeline."""
        assert self.primary is not None
        self.primary = self.addresses[(self.addresses.index(self.primary) + 1) % len(self.addresses)]
        self.timeline += 1

    async def freeze(self, address: Address) -> Callable[[], None]:
        """Let a node be silent."""
        self.frozen.add(address)
        return lambda: self.frozen.discard(address)

    def tell(self, address: Address) -> Observation | NodeSilence:
        """What a node says of itself now."""
        if address in self.frozen:
            return NodeSilence(address, "it is frozen", time.monotonic())
        primary = address == self.primary
        facts = NodeFacts(
            address, self._system_identifier, Role.PRIMARY if primary else Role.STANDBY, Timeline(self.timeline),
            Lsn(self.lsn), 0.0 if primary else None, time.monotonic(), 0 if primary else None,
        )  # fmt: skip
        others = tuple(f"n{port.port}" for port in self.addresses if port != address)
        return Observation(facts, Synchronous(f"ANY 1 ({','.join(others)})", others) if primary else None)

    def _watch(self, address: Address) -> FakeWatch:
        return FakeWatch(self, address)


class FakeWatch:
    """Asks a node of the cluster in memory."""

    refusal: str | None = None

    def __init__(self, cluster: FakeCluster, address: Address) -> None:
        self.address = address
        self._cluster = cluster

    async def observe(self) -> Observation | NodeSilence:
        """What the node says."""
        return self._cluster.tell(self.address)

    async def stop(self) -> None:
        """Nothing is held."""

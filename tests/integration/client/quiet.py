"""A watch that leaves the wire alone, for tests that count what else is on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from integration.client.waiting import LIMIT_S
from outlive.client.dsn import parse
from outlive.client.plan.topology import Observation
from outlive.client.probe import Probe
from outlive.client.source import Source
from outlive.client.wire import dialer_for
from outlive.model.topology import Address, NodeSilence
from outlive.system import monotonic


@dataclass
class Once:
    """Asks its node until that has answered, and says the same from then on."""

    probe: Probe
    told: Observation | None = None
    refusal: str | None = field(default=None, init=False)

    @property
    def address(self) -> Address:
        """The node's."""
        return self.probe.address

    async def observe(self) -> Observation | NodeSilence:
        """What it said, dated now."""
        if self.told is None:
            news = await self.probe.observe()
            await self.probe.stop()
            if isinstance(news, NodeSilence):
                return news
            self.told = news
        return replace(self.told, facts=replace(self.told.facts, observed_at=monotonic()))

    async def stop(self) -> None:
        """Let go of the connection."""
        await self.probe.stop()


def once(dsn: str) -> Source:
    """A source for the nodes of a DSN, whose roles don't change."""
    dialer = dialer_for(parse(dsn))
    return lambda address: Once(Probe(address, dialer, LIMIT_S, lambda: 0.0))

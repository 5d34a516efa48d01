"""Where the picture of the cluster comes from: what a topology source has to do, whatever it asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from outlive.client.plan.topology import Observation
from outlive.model.topology import Address, NodeSilence


class Watch(Protocol):
    """Asks one node, again and again."""

    @property
    def address(self) -> Address:
        """The node's."""
        ...

    @property
    def refusal(self) -> str | None:
        """What the server said when it refused the login, if it did."""
        ...

    async def observe(self) -> Observation | NodeSilence:
        """What the node is right now, or why it did not say so; raises nothing, and takes a second at most."""
        ...

    async def stop(self) -> None:
        """Let go of whatever it holds; may be called twice."""
        ...


Source = Callable[[Address], Watch]
"""Makes the watch over a node."""


class Placed:
    """A watch whose node lies in a region, whatever the watch itself knows of that."""

    def __init__(self, watch: Watch, region: str) -> None:
        self.address = watch.address
        self._watch = watch
        self._region = region

    @property
    def refusal(self) -> str | None:
        """See `Watch`."""
        return self._watch.refusal

    async def observe(self) -> Observation | NodeSilence:
        """See `Watch`."""
        news = await self._watch.observe()
        if isinstance(news, NodeSilence):
            return news
        return replace(news, facts=replace(news.facts, region=self._region))

    async def stop(self) -> None:
        """See `Watch`."""
        await self._watch.stop()

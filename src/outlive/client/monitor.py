"""The picture of the cluster, kept up to date by one task a node.

Each node is asked every `PERIOD_S`, at once when a caller reports a failure, and every `HURRY_S` while
somebody waits for a primary. Each answer is merged as it comes, so that a frozen node holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from outlive.client.plan import news
from outlive.client.plan.topology import NoPrimary, Observation, Primary, SplitBrain, View, merge, to_abort
from outlive.client.source import Watch
from outlive.errors import NoPrimaryError, SplitBrainError
from outlive.model.deadline import Deadline
from outlive.model.topology import Address, NodeFacts, NodeSilence
from outlive.system import monotonic
from outlive.telemetry.hooks import Hooks, tell

PERIOD_S = 0.3
HURRY_S = 0.05


class Monitor:
    """Watches the nodes.

    `on_dead` is called with each node whose connections are of no use any more, `on_heard` with what a node said.
    """

    def __init__(
        self,
        probes: Iterable[Watch],
        on_dead: Callable[[Address, str], None],
        on_heard: Callable[[NodeFacts], None],
        view: View | None = None,
        hooks: Hooks = (),
    ) -> None:
        self.view = view or View()
        self.stopped = False
        self.hooks = hooks
        self._probes = tuple(probes)
        self._on_dead = on_dead
        self._on_heard = on_heard
        self._changed = asyncio.Event()
        self._wake = {probe.address: asyncio.Event() for probe in self._probes}
        self._hurried = 0
        self._watching: asyncio.Task[None] | None = None

    async def start(self, deadline: Deadline) -> None:
        """Begin to watch; returns when every node has answered or missed its deadline."""
        self._watching = asyncio.create_task(self._watch(), name="outlive monitor")
        await self.wait(lambda view: len(view.observed) + len(view.silent) == len(self._probes), deadline)

    async def stop(self) -> None:
        """End the watch and its connections; may be called twice."""
        self.stopped = True
        self._changed.set()
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        for probe in self._probes:
            await probe.stop()

    def report(self) -> None:
        """A caller saw a failure: ask every node now."""
        for event in self._wake.values():
            event.set()

    async def wait(self, ready: Callable[[View], bool], deadline: Deadline) -> bool:
        """Wait until the view satisfies `ready`; False if the deadline or the end of the watch comes first."""
        if ready(self.view):
            return True
        self._hurried += 1
        self.report()
        try:
            async with asyncio.timeout(deadline.remaining_s(monotonic())):
                while not ready(self.view) and not self.stopped:
                    await self._changed.wait()
        except TimeoutError:
            pass
        finally:
            self._hurried -= 1
        return ready(self.view)

    async def primary(self, deadline: Deadline) -> Primary:
        """The node that takes writes.

        Raises:
            NoPrimaryError: none was found before the deadline.
            SplitBrainError: two were.
        """
        if isinstance(self.view.writable, NoPrimary):
            await self.wait(lambda view: not isinstance(view.writable, NoPrimary), deadline)
        match self.view.writable:
            case Primary() as primary:
                return primary
            case NoPrimary(reason):
                raise NoPrimaryError(f"no node takes writes: {reason}")
            case SplitBrain(addresses, timeline):
                names = " and ".join(str(address) for address in addresses)
                raise SplitBrainError(f"{names} both take writes on timeline {timeline}")

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as group:
            for probe in self._probes:
                group.create_task(self._watch_node(probe), name=f"outlive probe {probe.address}")

    async def _watch_node(self, probe: Watch) -> None:
        while not self.stopped:  # a source of the caller's own may take the cancellation for a failure
            wake = self._wake[probe.address]
            wake.clear()
            self._take(await probe.observe())
            try:
                async with asyncio.timeout(HURRY_S if self._hurried else PERIOD_S):
                    await wake.wait()
            except TimeoutError:
                continue

    def _take(self, observed: Observation | NodeSilence) -> None:
        before, self.view = self.view, merge(self.view, observed)
        for address, reason in to_abort(before, self.view).items():
            self._on_dead(address, reason)
        if isinstance(observed, Observation):
            self._on_heard(observed.facts)
        if self.hooks:
            for event in news.between(before, self.view):
                tell(self.hooks, event)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

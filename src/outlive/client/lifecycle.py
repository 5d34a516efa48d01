"""A client's life: started, closed, and in between what it knows of its cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from outlive.client import dsn as dsns
from outlive.client import options
from outlive.client.attempt import Terms
from outlive.client.nodes import Limits, Nodes
from outlive.client.options import DEFAULT_TIMEOUT_S
from outlive.client.plan.keys import Key, checked_key
from outlive.client.plan.requests import of_tenant
from outlive.client.plan.topology import Primary
from outlive.client.session import Session
from outlive.errors import ConfigurationError
from outlive.model.deadline import Deadline
from outlive.model.durability import Durability
from outlive.model.topology import Address, NodeFacts, Topology
from outlive.system import monotonic


class Lifecycle:
    """What every call of a client rests on: the nodes, while it is running."""

    def __init__(self, dsn: dsns.Dsn, limits: Limits, *, degraded: bool) -> None:
        self._dsn = dsn
        self._limits = limits
        self._degraded = degraded
        self._nodes: Nodes | None = None
        self._closed = False
        self._tenant: str | None = None
        self._whole: Lifecycle | None = None

    async def start(self) -> Self:
        """Ask every node once, and watch them from now on.

        Raises:
            ConfigurationError: a node belongs to another cluster, or every node refused the login.
        """
        if self._whole is not None:
            return self
        if self._closed or self._nodes is not None:
            raise ConfigurationError(f"the client was {'closed' if self._closed else 'started'} before")
        self._nodes = Nodes(self._dsn, self._limits)
        try:
            await self._nodes.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Let calls under way finish for a moment, then drop every connection; may be called twice."""
        if self._whole is not None:
            return
        self._closed = True
        nodes, self._nodes = self._nodes, None
        if nodes is not None:
            await nodes.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.start().__await__()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def session(self) -> Session:
        """How far this client has come; its `token()` lets another process go on from there."""
        return self._running().session

    @property
    def topology(self) -> Topology:
        """What is known of every node right now."""
        return self._running().monitor.view.topology

    @property
    def primary(self) -> NodeFacts | None:
        """The node that takes writes, as far as is known right now; `wait_primary` waits for one."""
        writable = self._running().monitor.view.writable
        return writable.facts if isinstance(writable, Primary) else None

    @property
    def dsn(self) -> dsns.Dsn:
        """What this client connects to; its text hides the password."""
        return self._dsn

    @property
    def can_listen(self) -> bool:
        """Whether a connection can be kept to hear notifications: not a pool's only one, nor one through a pooler."""
        return self._limits.pool_size > 1 and not self._limits.pooler

    def on_node_lost(self, callback: Callable[[Address, str], object]) -> Callable[[], None]:
        """Call `callback(address, reason)` when connections to a node become useless; returns the call that ends it.

        That is when the node falls silent, was demoted, or proves to be an old primary: for those who keep connections
        of their own. It is called on the event loop and has to be quick.
        """
        lost = self._running().lost
        lost.add(callback)
        return lambda: lost.discard(callback)

    async def wait_primary(self, timeout: float = DEFAULT_TIMEOUT_S) -> NodeFacts:
        """The node that takes writes, as soon as there is one.

        Raises:
            NoPrimaryError: none was found within `timeout` seconds.
            SplitBrainError: two nodes take writes.
        """
        return (await self._running().primary(Deadline.after(options.positive("timeout", timeout), monotonic()))).facts

    def _terms(self, durability: Durability | str, isolation: str | None, key: Key | None = None) -> Terms:
        return Terms(options.durability(durability), options.isolation(isolation), self._degraded, key, self._tenant)

    def _key(self, key: UUID | str, request: bytes) -> Key:
        return Key(checked_key(key), request if self._tenant is None else of_tenant(request, self._tenant))

    def _running(self) -> Nodes:
        if self._whole is not None:
            return self._whole._running()  # noqa: SLF001 - it is a copy of that one
        if self._nodes is None:
            state = "was closed" if self._closed else "was not started"
            raise ConfigurationError(f"the client {state}", hint="Use it inside `async with outlive.connect(...)`.")
        return self._nodes

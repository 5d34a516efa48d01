"""Connections of another library, each known with its node, so that those of a lost node can be cut at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from threading import Event, Lock
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from outlive.client.cluster import Cluster
from outlive.client.options import positive
from outlive.errors import NoPrimaryError
from outlive.model.deadline import Deadline
from outlive.model.topology import Address, NodeFacts
from outlive.sync import SyncCluster
from outlive.system import monotonic

C = TypeVar("C")

PAUSE_S = 0.05
LEAST_S = 0.001


class Following(Generic[C]):
    """Keeps no connection alive; `cut` is called with each one that is of no use any more, in use or not.

    `passing` tells whether an error of a connection attempt may be gone at the next one.
    """

    def __init__(
        self, db: Cluster | SyncCluster, *, cut: Callable[[C], object], passing: Callable[[Exception], bool]
    ) -> None:
        self._db = db
        self._cut = cut
        self._passing = passing
        self._nodes: WeakKeyDictionary[C, Address] = WeakKeyDictionary()
        self._lock = Lock()
        db.on_node_lost(self._lost)

    def current(self, connection: C) -> bool:
        """Whether the connection is to the node that takes writes now."""
        primary = self._db.primary
        with self._lock:
            return primary is not None and self._nodes.get(connection) == primary.address

    def adopted(self, connection: C, node: NodeFacts) -> bool:
        """Remember a new connection; False if its node is the primary no more, and it was cut."""
        with self._lock:
            self._nodes[connection] = node.address
        if not self.current(connection):
            self._cut(connection)
            return False
        return True

    def _lost(self, address: Address, _reason: str) -> None:
        with self._lock:
            gone = [connection for connection, node in self._nodes.items() if node == address]
            for connection in gone:
                del self._nodes[connection]
        for connection in gone:
            self._cut(connection)

    def failed(self, error: Exception, node: NodeFacts, deadline: Deadline) -> None:
        """Return if another connection attempt is due, else raise."""
        if not self._passing(error):
            raise error
        if deadline.expired(monotonic()):
            raise NoPrimaryError(f"{node.address}: no connection could be opened in time: {error}") from error


async def connect(db: Cluster, following: Following[C], dial: Callable[[Address], Awaitable[C]], timeout_s: float) -> C:
    """A connection to the primary that `dial` opens, tried until it succeeds or the time is spent.

    Raises:
        NoPrimaryError: none could be opened in time.
    """
    deadline = Deadline.after(positive("timeout", timeout_s), monotonic())
    while True:
        primary = await db.wait_primary(max(LEAST_S, deadline.remaining_s(monotonic())))
        try:
            connection = await dial(primary.address)
        except Exception as error:
            following.failed(error, primary, deadline)
        else:
            if following.adopted(connection, primary):
                return connection
        await asyncio.sleep(PAUSE_S)


def connect_sync(db: SyncCluster, following: Following[C], dial: Callable[[Address], C], timeout_s: float) -> C:
    """What `connect` does, in a thread that may wait."""
    deadline = Deadline.after(positive("timeout", timeout_s), monotonic())
    while True:
        primary = db.wait_primary(max(LEAST_S, deadline.remaining_s(monotonic())))
        try:
            connection = dial(primary.address)
        except Exception as error:
            following.failed(error, primary, deadline)
        else:
            if following.adopted(connection, primary):
                return connection
        Event().wait(PAUSE_S)

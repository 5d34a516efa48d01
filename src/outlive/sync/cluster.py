"""The client without asyncio: each call runs the asynchronous one on the loop and waits for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, Self, TypeVar
from uuid import UUID

from outlive.client import cluster as asynchronous
from outlive.client.cluster import Cluster
from outlive.client.options import DEFAULT_TIMEOUT_S, DurabilityName
from outlive.client.plan.begin import Isolation
from outlive.client.running import inside
from outlive.client.session import Session
from outlive.client.transaction import Transaction
from outlive.model.durability import Durability, Receipt
from outlive.model.topology import Address
from outlive.sync.caller import Caller
from outlive.sync.faces import Seen, on_loop, taking, through
from outlive.sync.portal import Face, Portal
from outlive.sync.transactions import SyncTransaction, SyncTransactions, SyncWriter

T = TypeVar("T")


class SyncSession(Face[Session]):
    """`outlive.Session` for programs without asyncio."""

    token = through(Session.token)


class SyncCluster(Face[Cluster]):
    """`outlive.Cluster` for programs without asyncio; made by `connect`. Its calls take and return the same."""

    fetch = through(Cluster.fetch)
    fetchrow = through(Cluster.fetchrow)
    fetchval = through(Cluster.fetchval)
    execute = through(Cluster.execute)
    executemany = through(Cluster.executemany)
    copy_records_to_table = through(Cluster.copy_records_to_table)
    wait_primary = through(Cluster.wait_primary)
    batch = through(Cluster.batch)
    expire_keys = through(Cluster.expire_keys)
    locate = through(Cluster.locate)
    transaction = on_loop(Cluster.transaction, SyncTransactions)
    writer = through(Cluster.writer, SyncWriter)
    topology = Seen(Cluster, lambda cluster: cluster.topology)
    primary = Seen(Cluster, lambda cluster: cluster.primary)
    dsn = Seen(Cluster, lambda cluster: cluster.dsn)
    can_listen = Seen(Cluster, lambda cluster: cluster.can_listen)
    _start, _close = through(Cluster.start), through(Cluster.close)

    def run(
        self,
        fn: Callable[Concatenate[SyncTransaction, ...], T],
        *args: object,
        key: UUID | str | None = None,
        durability: Durability | DurabilityName = Durability.CRITICAL,
        isolation: Isolation | None = None,
        idempotent: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
        on_receipt: Callable[[Receipt], object] | None = None,
    ) -> T:
        """See `outlive.Cluster.run`; `fn(tx, *args)` runs in the calling thread, `on_receipt` on the client's own."""
        caller = Caller(self._portal)
        lent: Callable[Concatenate[Transaction, ...], Awaitable[T]] = caller.lend(fn, self._in_transaction)
        work = self._inner.run(
            lent,
            *args,
            key=key,
            durability=durability,
            isolation=isolation,
            idempotent=idempotent,
            timeout=timeout,
            on_receipt=on_receipt,
        )
        return caller.call(work)

    def _in_transaction(self, fn: Callable[..., T], *args: Any, **options: Any) -> T:
        (tx,) = (each for each in args if isinstance(each, Transaction))
        face = SyncTransaction(self._portal, tx)
        with inside(tx):
            return fn(*(face if each is tx else each for each in args), **options)

    def as_tenant(self, tenant: str) -> SyncCluster:
        """See `outlive.Cluster.as_tenant`; it is this client that is to be closed."""
        return SyncCluster(self._portal, self._inner.as_tenant(tenant))

    @property
    def portal(self) -> Portal:
        """The way to the client's loop, for what is built on both faces."""
        return self._portal

    @property
    def session(self) -> SyncSession:
        """How far this client has come; its `token()` lets another process go on from there."""
        return SyncSession(self._portal, self._inner.session)

    def on_node_lost(self, callback: Callable[[Address, str], object]) -> Callable[[], None]:
        """See `outlive.Cluster.on_node_lost`; `callback` is called on the client's own thread."""
        return self._inner.on_node_lost(callback)

    def close(self) -> None:
        """See `outlive.Cluster.close`; ends the thread too. May be called twice."""
        if self._portal.open:
            self._close()
            self._portal.close()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._portal.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@taking(asynchronous.connect)
def connect(*args: Any, **options: Any) -> SyncCluster:
    """A synchronous client of the cluster that `dsn` names, to be entered with `with`. See `outlive.connect`.

    Raises:
        ConfigurationError: the DSN or an option is wrong.
    """
    inner = asynchronous.connect(*args, **options)  # before a thread is started for it
    return SyncCluster(Portal(), inner)

"""The same client for programs without asyncio: one event loop in a thread, and the calls of `Cluster` through it.

    with outlive.sync.connect("postgresql://app@h1,h2,h3/agents") as db:
        rows = db.fetch("select * from turns")
        for tx in db.transaction():
            with tx:
                tx.execute("insert into turns values ($1)", turn)

Nothing is decided here: each call runs the asynchronous one on the loop and waits for it. May be used from many
threads at once. A forked process has to make a client of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from functools import wraps
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from outlive.client import cluster as asynchronous
from outlive.client.cluster import Cluster
from outlive.client.dsn import Dsn
from outlive.client.running import inside
from outlive.client.session import Session
from outlive.client.transaction import Transaction
from outlive.client.transactions import Transactions
from outlive.errors import ConfigurationError
from outlive.model.durability import Receipt
from outlive.model.topology import Address, NodeFacts, Topology

if TYPE_CHECKING:
    from outlive.client.coalesce import Writer

P = ParamSpec("P")
T = TypeVar("T")
CLOSE_S = 10.0

__all__ = ["SyncCluster", "SyncTransaction", "connect"]


class Portal:
    """An event loop in a daemon thread, and the way into it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="outlive", daemon=True)
        self._thread.start()

    @property
    def open(self) -> bool:
        """Whether calls can still be made."""
        return not self._loop.is_closed()

    def is_here(self) -> bool:
        """Whether this is the loop's own thread."""
        return threading.current_thread() is self._thread

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work` on the loop.

        Raises:
            ConfigurationError: the client was closed, or this is called on the loop itself, which would wait for ever.
        """
        if not self.open or self.is_here():
            work.close()
            reason = "was closed" if not self.open else "can't be called from its own thread"
            raise ConfigurationError(f"the synchronous client {reason}", hint="Use it inside its `with` block.")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` on the loop and return what it returns; an interrupt of the waiting thread cancels it."""
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop and its thread; may be called twice."""
        if self.open:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_S)
            self._loop.close()


def through(method: Callable[Concatenate[Any, P], Awaitable[T]]) -> Callable[Concatenate[Any, P], T]:
    """The synchronous twin of a method of `self._inner`, made from the method itself."""

    def call(self: Any, /, *args: P.args, **options: P.kwargs) -> T:
        async def work() -> T:
            return await method(self._inner, *args, **options)

        return self._portal.call(work())  # type: ignore[no-any-return]

    call.__name__, call.__doc__ = method.__name__, method.__doc__
    return call


class SyncTransaction:
    """One attempt at a transaction, to be entered with `with`. See `outlive.Transaction`."""

    def __init__(self, portal: Portal, inner: Transaction) -> None:
        self._portal, self._inner = portal, inner

    fetch = through(Transaction.fetch)
    fetchrow = through(Transaction.fetchrow)
    fetchval = through(Transaction.fetchval)
    execute = through(Transaction.execute)
    executemany = through(Transaction.executemany)
    copy_records_to_table = through(Transaction.copy_records_to_table)
    copy_to_table = through(Transaction.copy_to_table)
    copy_from_table = through(Transaction.copy_from_table)
    copy_from_query = through(Transaction.copy_from_query)

    @property
    def asynchronous(self) -> Transaction:
        """The transaction itself, for what runs on its own loop."""
        return self._inner

    def after_commit(self, callback: Callable[[], object]) -> None:
        """See `outlive.Transaction.after_commit`; `callback` is called on the client's thread."""
        self._inner.after_commit(callback)

    @property
    def receipt(self) -> Receipt | None:
        """What the commit got; None before it."""
        return self._inner.receipt

    _enter, _exit = through(Transaction.__aenter__), through(Transaction.__aexit__)

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return self._exit(kind, error, traceback)


class SyncTransactions:
    """The attempts at one transaction, to be looped over with `for`."""

    def __init__(self, portal: Portal, inner: Transactions) -> None:
        self._portal, self._inner = portal, inner

    _next = through(Transactions.__anext__)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> SyncTransaction:
        try:
            return SyncTransaction(self._portal, self._next())
        except StopAsyncIteration:
            raise StopIteration from None


class SyncSession:
    """`outlive.Session` for programs without asyncio."""

    def __init__(self, portal: Portal, inner: Session) -> None:
        self._portal, self._inner = portal, inner

    token = through(Session.token)


class SyncWriter:
    """A coalescing writer for programs without asyncio: rows of threads that append at once go together."""

    def __init__(self, portal: Portal, inner: Writer) -> None:
        self._portal, self._inner = portal, inner

    def append(self, *values: object, timeout: float | None = None) -> Receipt:
        """See `Writer.append` of `outlive.client.coalesce`."""
        return self._portal.call(self._inner.append(*values, timeout=timeout))

    def close(self) -> None:
        """Wait until every row has its answer; may be called twice."""
        self._portal.call(self._inner.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SyncCluster:
    """`outlive.Cluster` for programs without asyncio; made by `connect`. Its calls take and return the same."""

    def __init__(self, portal: Portal, inner: Cluster) -> None:
        self._portal, self._inner = portal, inner

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
    _start, _close = through(Cluster.start), through(Cluster.close)

    def transaction(self, **options: Any) -> SyncTransactions:
        """See `outlive.Cluster.transaction`."""

        async def make() -> Transactions:
            return self._inner.transaction(**options)

        return SyncTransactions(self._portal, self._portal.call(make()))

    def run(self, fn: Callable[Concatenate[SyncTransaction, ...], T], *args: object, **options: Any) -> T:
        """See `outlive.Cluster.run`; `fn(tx, *args)` runs in the calling thread."""
        asked: SimpleQueue[tuple[Transaction, Future[T]] | None] = SimpleQueue()

        # Under the name of `fn`, with its arguments: that is what a key's request is told by.
        @wraps(fn)
        async def ask(tx: Transaction, *_args: object) -> T:
            answer: Future[T] = Future()
            asked.put((tx, answer))
            return await asyncio.wrap_future(answer)

        done = self._portal.submit(self._inner.run(ask, *args, **options))
        done.add_done_callback(lambda _: asked.put(None))
        try:
            while (attempt := asked.get()) is not None:
                tx, answer = attempt
                with inside(tx):
                    _answer(answer, lambda: fn(SyncTransaction(self._portal, tx), *args))  # noqa: B023 - called at once
        except BaseException:
            done.cancel()
            raise
        return done.result()

    def writer(self, table: str, columns: Sequence[str], **options: Any) -> SyncWriter:
        """See `outlive.Cluster.writer`."""
        return SyncWriter(self._portal, self._portal.call(self._inner.writer(table, columns, **options)))

    def as_tenant(self, tenant: str) -> SyncCluster:
        """See `outlive.Cluster.as_tenant`; it is this client that is to be closed."""
        return SyncCluster(self._portal, self._inner.as_tenant(tenant))

    @property
    def asynchronous(self) -> Cluster:
        """The client itself, for what runs on its own loop: see `portal`."""
        return self._inner

    @property
    def portal(self) -> Portal:
        """The way to the client's loop, for what is built on both faces."""
        return self._portal

    @property
    def session(self) -> SyncSession:
        """How far this client has come; its `token()` lets another process go on from there."""
        return SyncSession(self._portal, self._inner.session)

    @property
    def topology(self) -> Topology:
        """What is known of every node right now."""
        return self._inner.topology

    @property
    def primary(self) -> NodeFacts | None:
        """See `outlive.Cluster.primary`."""
        return self._inner.primary

    @property
    def dsn(self) -> Dsn:
        """See `outlive.Cluster.dsn`."""
        return self._inner.dsn

    @property
    def can_listen(self) -> bool:
        """See `outlive.Cluster.can_listen`."""
        return self._inner.can_listen

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


def connect(dsn: str | None = None, **options: Any) -> SyncCluster:
    """A synchronous client of the cluster that `dsn` names, to be entered with `with`. See `outlive.connect`.

    Raises:
        ConfigurationError: the DSN or an option is wrong.
    """
    inner = asynchronous.connect(dsn, **options)  # before a thread is started for it
    return SyncCluster(Portal(), inner)


def _answer(answer: Future[T], work: Callable[[], T]) -> None:
    """Answer with what `work` returns or raises; what is no `Exception` ends the calling thread's wait instead."""
    try:
        answer.set_result(work())
    except Exception as error:
        answer.set_exception(error)

"""A client of one cluster: it follows the primary, and retries what is safe to retry.

Each call chooses a node from the monitor's picture, takes a connection from that node's pool and runs; a
failure is turned into facts, judged by the plan, and tried again or raised. Read `transaction.py` next.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar

import asyncpg

from outlive.client import dsn as dsns
from outlive.client.attempts import DEADLINE_CAME, Attempts
from outlive.client.nodes import CONNECT_TIMEOUT_S, Limits, Nodes
from outlive.client.plan.begin import ISOLATIONS, Isolation
from outlive.client.plan.retry import Phase
from outlive.client.transaction import Terms, Transaction, Transactions, uninterrupted
from outlive.client.wire import Wire
from outlive.errors import ConfigurationError
from outlive.model.deadline import Deadline
from outlive.model.durability import Durability
from outlive.model.freshness import Eventual, Freshness, FreshnessName, Strong
from outlive.model.topology import Address, NodeFacts, Topology
from outlive.system import monotonic

P = ParamSpec("P")
T = TypeVar("T")

DurabilityName = Literal["critical", "regenerable"]
Degraded = Literal["refuse", "allow"]

DEFAULT_TIMEOUT_S = 60.0
_FRESHNESS: dict[str, Freshness] = {"strong": Strong(), "eventual": Eventual()}


def connect(
    dsn: str | None = None,
    *,
    pool_size: int = 10,
    degraded: Degraded = "refuse",
    max_lag: float = 10.0,
    connect_timeout: float | None = None,
) -> Cluster:
    """A client of the cluster that `dsn` names, to be entered with `async with`, or started and closed.

    `dsn` lists every node: `postgresql://user:password@h1:5432,h2:5432,h3:5432/database`. Without one, the
    variable `OUTLIVE_DSN` counts, then the local cluster that is up. `pool_size` bounds the connections to each
    node. `degraded="allow"` lets critical writes pass without a synchronous standby, and their receipts say so.
    `max_lag` bounds the age, in seconds, of what an eventual read may see on a standby. `connect_timeout`
    bounds, in seconds, a connection attempt to one node.

    Raises:
        ConfigurationError: the DSN or an option is wrong.
    """
    _one_of("degraded", degraded, ("refuse", "allow"))
    _positive("pool_size", pool_size)
    _positive("max_lag", max_lag)
    parsed = dsns.resolve(dsn)
    timeout_s = connect_timeout or parsed.connect_timeout_s or CONNECT_TIMEOUT_S
    _positive("connect_timeout", timeout_s)
    limits = Limits(pool_size=pool_size, max_lag_s=max_lag, connect_timeout_s=timeout_s)
    return Cluster(parsed, limits, degraded=degraded == "allow")


class Cluster:
    """A client of one cluster; made by `connect`. Usable by many tasks of one event loop at once."""

    def __init__(self, dsn: dsns.Dsn, limits: Limits, *, degraded: bool) -> None:
        self._dsn = dsn
        self._limits = limits
        self._degraded = degraded
        self._nodes: Nodes | None = None
        self._closed = False

    async def start(self) -> Self:
        """Ask every node once, and watch them from now on.

        Raises:
            ConfigurationError: a node belongs to another cluster, or every node refused the login.
        """
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

    async def fetch(
        self, sql: str, *args: object, read: FreshnessName = "eventual", timeout: float = DEFAULT_TIMEOUT_S
    ) -> list[asyncpg.Record]:
        """All rows of a query. It is retried freely: for reads and for what may happen twice."""
        return await self._read(asyncpg.Connection.fetch, sql, args, read, timeout)

    async def fetchrow(
        self, sql: str, *args: object, read: FreshnessName = "eventual", timeout: float = DEFAULT_TIMEOUT_S
    ) -> asyncpg.Record | None:
        """The first row of a query, or None. It is retried freely."""
        return await self._read(asyncpg.Connection.fetchrow, sql, args, read, timeout)

    async def fetchval(
        self, sql: str, *args: object, read: FreshnessName = "eventual", timeout: float = DEFAULT_TIMEOUT_S
    ) -> Any:
        """The first column of the first row of a query, or None. It is retried freely."""
        return await self._read(asyncpg.Connection.fetchval, sql, args, read, timeout)

    async def execute(
        self, sql: str, *args: object, idempotent: bool = False, timeout: float = DEFAULT_TIMEOUT_S
    ) -> str:
        """Execute one statement on the primary, committed by itself; the answer is its command tag.

        Raises:
            CommitUnknownError: the connection was lost while it was under way, and it is not `idempotent`.
            DurabilityNotMetError: no synchronous standby is in force.
        """
        nodes = self._running()
        attempts = Attempts(nodes.monitor, timeout, idempotent=idempotent)
        while True:
            await attempts.next()
            wire = None
            try:
                address = await self._writer(nodes, attempts.deadline)
                wire = await nodes.acquire(address, attempts.deadline)
                return await _execute(wire, sql, args, attempts.deadline)
            except Exception as error:
                attempts.failed(error, Phase.CONNECT if wire is None else Phase.STATEMENT, wire)
            finally:
                if wire is not None:
                    nodes.release(wire)

    def transaction(
        self,
        *,
        durability: Durability | DurabilityName = Durability.CRITICAL,
        isolation: Isolation | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Transactions:
        """A transaction on the primary, as a loop over its attempts.

            async for tx in db.transaction():
                async with tx:
                    await tx.execute("insert into turns values ($1)", turn)

        The `async with` is all that the loop's body holds: what follows it runs after a failed attempt too. The
        block is run again after a conflict, a lost connection or a demotion, within `timeout` seconds in all.
        A failed COMMIT is raised, not repeated; `run` can repeat it.

        Raises:
            CommitUnknownError: the connection was lost during COMMIT.
            RetryBudgetExceededError: attempts or time ran out.
        """
        nodes = self._running()
        terms = self._terms(durability, isolation)
        return Transactions(nodes, terms, Attempts(nodes.monitor, _seconds(timeout), idempotent=False))

    async def run(
        self,
        fn: Callable[Concatenate[Transaction, ...], Awaitable[T]],
        *args: object,
        durability: Durability | DurabilityName = Durability.CRITICAL,
        isolation: Isolation | None = None,
        idempotent: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> T:
        """Run `fn(tx, *args)` in a transaction on the primary and return what it returned.

        `fn` runs again after each failure that leaves nothing applied, within `timeout` seconds in all; what it does
        outside the database is done again too. A COMMIT of unknown outcome is repeated only if `idempotent`.

        Raises:
            CommitUnknownError: the connection was lost during COMMIT, and `fn` is not `idempotent`.
            RetryBudgetExceededError: attempts or time ran out.
        """
        nodes = self._running()
        terms = self._terms(durability, isolation)
        attempts = Attempts(nodes.monitor, _seconds(timeout), idempotent=idempotent)
        while True:
            tx = Transaction(nodes, terms, attempts)
            await tx.begin()
            try:
                result = await fn(tx, *args)
            except BaseException as error:
                await tx.roll_back(error)
            else:
                if await tx.commit():
                    return result

    @asynccontextmanager
    async def connection(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> AsyncIterator[asyncpg.Connection]:
        """A driver's connection to the primary. Nothing done on it is retried; its session is reset afterwards."""
        nodes = self._running()
        attempts = Attempts(nodes.monitor, _seconds(timeout), idempotent=False)
        wire = await self._take_writer(nodes, attempts)
        try:
            yield wire.connection
        except BaseException:
            wire.cut("its user failed")
            raise
        else:
            await _reset(wire)
        finally:
            nodes.release(wire)

    @property
    def topology(self) -> Topology:
        """What is known of every node right now."""
        return self._running().monitor.view.topology

    async def wait_primary(self, timeout: float = DEFAULT_TIMEOUT_S) -> NodeFacts:
        """The node that takes writes, as soon as there is one.

        Raises:
            NoPrimaryError: none was found within `timeout` seconds.
            SplitBrainError: two nodes take writes.
        """
        return (await self._running().primary(Deadline.after(_seconds(timeout), monotonic()))).facts

    async def _read(
        self, method: Callable[..., Awaitable[T]], sql: str, args: tuple[object, ...], read: str, timeout: float
    ) -> T:
        nodes = self._running()
        freshness = _FRESHNESS.get(read)
        if freshness is None:
            raise _unknown("read", read, tuple(_FRESHNESS))
        attempts = Attempts(nodes.monitor, timeout, idempotent=True)
        while True:
            await attempts.next()
            wire = None
            try:
                address = nodes.reader(freshness) or (await nodes.primary(attempts.deadline)).address
                wire = await nodes.acquire(address, attempts.deadline)
                timer = asyncio.get_running_loop().call_later(timeout, wire.cut, DEADLINE_CAME)
                try:
                    return await method(wire.connection, sql, *args)
                finally:
                    timer.cancel()
            except Exception as error:
                attempts.failed(error, Phase.CONNECT if wire is None else Phase.READ, wire)
            finally:
                if wire is not None:
                    nodes.release(wire)

    async def _take_writer(self, nodes: Nodes, attempts: Attempts) -> Wire:
        while True:
            await attempts.next()
            try:
                primary = await nodes.primary(attempts.deadline)
                return await nodes.acquire(primary.address, attempts.deadline)
            except Exception as error:
                attempts.failed(error, Phase.CONNECT)

    async def _writer(self, nodes: Nodes, deadline: Deadline) -> Address:
        if self._degraded:
            return (await nodes.primary(deadline)).address
        return (await nodes.synchronous_primary(deadline))[0].address

    def _terms(self, durability: Durability | str, isolation: Isolation | None) -> Terms:
        if isinstance(durability, str):
            names = tuple(known.value for known in Durability)
            _one_of("durability", durability, names)
            durability = Durability(durability)
        if isolation is not None:
            _one_of("isolation", isolation, ISOLATIONS)
        return Terms(durability, isolation, self._degraded)

    def _running(self) -> Nodes:
        if self._nodes is None:
            state = "was closed" if self._closed else "was not started"
            raise ConfigurationError(f"the client {state}", hint="Use it inside `async with outlive.connect(...)`.")
        return self._nodes


async def _execute(wire: Wire, sql: str, args: tuple[object, ...], deadline: Deadline) -> str:
    timer = asyncio.get_running_loop().call_later(deadline.remaining_s(monotonic()), wire.cut, DEADLINE_CAME)
    try:
        tag, interrupted = await uninterrupted(wire.connection.execute(sql, *args))
    finally:
        timer.cancel()
    if interrupted:
        raise asyncio.CancelledError
    return str(tag)


async def _reset(wire: Wire) -> None:
    if not wire.is_open:
        return
    try:
        await wire.connection.reset(timeout=2.0)
    except BaseException as error:
        wire.cut("it could not be reset")
        if not isinstance(error, Exception):
            raise
    else:
        wire.listen()


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _unknown(name, value, allowed)


def _unknown(name: str, value: object, allowed: tuple[str, ...]) -> ConfigurationError:
    near = difflib.get_close_matches(str(value), allowed, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"It is one of: {', '.join(allowed)}."
    return ConfigurationError(f"{name} can't be {value!r}", hint=hint)


def _positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigurationError(f"{name} can't be {value!r}", hint="It is a number above zero.")


def _seconds(timeout: float) -> float:
    _positive("timeout", timeout)
    return timeout

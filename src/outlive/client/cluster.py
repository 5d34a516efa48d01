"""A client of one cluster: it follows the primary, and retries what is safe to retry.

Each call chooses a node from the monitor's picture, takes a connection from that node's pool and runs; a
failure is turned into facts, judged by the plan, and tried again or raised. Read `transaction.py` next.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Self, TypeVar
from uuid import UUID

import asyncpg

from outlive.client import bare, locating, options, running, statement
from outlive.client import dsn as dsns
from outlive.client import linearizable as linearizables
from outlive.client import pooler as through_a_pooler
from outlive.client.attempt import Terms
from outlive.client.attempts import Attempts
from outlive.client.claims import expire
from outlive.client.nodes import Limits, Nodes
from outlive.client.options import DegradedName, DurabilityName
from outlive.client.plan.begin import Isolation
from outlive.client.plan.keys import Key, checked_key
from outlive.client.plan.requests import NO_REQUEST, of_tenant, request_hash, statements_hash
from outlive.client.plan.topology import Primary
from outlive.client.session import Session
from outlive.client.source import Source
from outlive.client.transaction import Transaction
from outlive.client.transactions import Transactions
from outlive.errors import ConfigurationError
from outlive.model.deadline import Deadline
from outlive.model.durability import Durability, Receipt
from outlive.model.freshness import Freshness, FreshnessName
from outlive.model.topology import Address, NodeFacts, Topology
from outlive.system import monotonic
from outlive.telemetry.hooks import Hook, collect

if TYPE_CHECKING:
    from outlive.client.batch import Statement
    from outlive.client.coalesce import Writer

T = TypeVar("T")

DEFAULT_TIMEOUT_S = 60.0
KEEP_KEYS = timedelta(hours=24)


def connect(
    dsn: str | None = None,
    *,
    pool_size: int = 10,
    degraded: DegradedName = "refuse",
    max_lag: float = 10.0,
    connect_timeout: float | None = None,
    session: str | None = None,
    region: str | None = None,
    regions: Mapping[str, str] | None = None,
    pooler: bool = False,
    topology: Source | None = None,
    telemetry: Hook | Iterable[Hook] | None = None,
) -> Cluster:
    """A client of the cluster that `dsn` names, to be entered with `async with`, or started and closed.

    `dsn` lists every node: `postgresql://user:password@h1:5432,h2:5432,h3:5432/database`. Without one, the
    variable `OUTLIVE_DSN` counts, then the local cluster that is up. `pool_size` bounds the connections to each
    node. `degraded="allow"` lets critical writes pass without a synchronous standby, and their receipts say so.
    `max_lag` bounds the age, in seconds, of what an eventual read may see on a standby. `connect_timeout`
    bounds, in seconds, a connection attempt to one node.

    `session` is another client's token: reads see what that one wrote and read. Reads prefer nodes in `region`, and
    `regions` says where each host lies. `pooler` is for a DSN whose hosts are poolers in transaction mode. `topology`
    watches the nodes in another way than by SQL. `telemetry` is called with each of `telemetry.events`.

    Raises:
        ConfigurationError: the DSN or an option is wrong.
    """
    parsed = dsns.resolve(dsn)
    if pooler:
        through_a_pooler.check(parsed)
    limits = Limits(
        region=region,
        regions=options.regions(regions, parsed.hosts, region, known=topology is None),
        token=options.session(session),
        pooler=pooler,
        source=topology,
        pool_size=int(options.positive("pool_size", pool_size)),
        max_lag_s=options.positive("max_lag", max_lag),
        connect_timeout_s=None if connect_timeout is None else options.positive("connect_timeout", connect_timeout),
        hooks=collect(telemetry),
    )
    return Cluster(parsed, limits, degraded=options.degraded(degraded))


class Cluster:
    """A client of one cluster; made by `connect`. Usable by many tasks of one event loop at once."""

    def __init__(self, dsn: dsns.Dsn, limits: Limits, *, degraded: bool) -> None:
        self._dsn = dsn
        self._limits = limits
        self._degraded = degraded
        self._nodes: Nodes | None = None
        self._closed = False
        self._tenant: str | None = None
        self._whole: Cluster | None = None

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

    async def fetch(
        self,
        sql: str,
        *args: object,
        read: Freshness | FreshnessName = "session",
        linearizable: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> list[asyncpg.Record]:
        """All rows of a query. It is retried freely, so it is for reads, and for what may happen twice.

        `read="session"` sees what this client has written, and nothing older than it has read; `"strong"` asks the
        primary; `outlive.bounded(seconds)` and `"eventual"` a standby that is at most so far, or `max_lag`, behind.
        `linearizable` makes a strong read prove that its node still is the primary: a standby confirms it.

        Raises:
            RetryBudgetExceededError: attempts or time ran out.
            DurabilityNotMetError: it is `linearizable`, and no synchronous standby is in force.
            NoPrimaryError: no standby was fit, and no primary was found in time.
        """
        return await self._read(
            lambda connection: connection.fetch(sql, *args), sql, read, timeout, linearizable=linearizable
        )

    async def fetchrow(
        self,
        sql: str,
        *args: object,
        read: Freshness | FreshnessName = "session",
        linearizable: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> asyncpg.Record | None:
        """The first row of a query, or None. It is retried freely."""
        return await self._read(
            lambda connection: connection.fetchrow(sql, *args), sql, read, timeout, linearizable=linearizable
        )

    async def fetchval(
        self,
        sql: str,
        *args: object,
        read: Freshness | FreshnessName = "session",
        linearizable: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Any:
        """The first column of the first row of a query, or None. It is retried freely."""
        return await self._read(
            lambda connection: connection.fetchval(sql, *args), sql, read, timeout, linearizable=linearizable
        )

    async def execute(
        self, sql: str, *args: object, idempotent: bool = False, timeout: float = DEFAULT_TIMEOUT_S
    ) -> str:
        """Execute one statement on the primary, committed by itself; the answer is its command tag.

        It is critical; that a synchronous standby is in force is known from the latest probe, a fraction of a second
        old at most, whereas a transaction asks the server itself.

        Raises:
            CommitUnknownError: the connection was lost while it was under way, and it is not `idempotent`.
            DurabilityNotMetError: no synchronous standby is in force.
        """
        if self._limits.pooler or self._tenant is not None:
            # What it is acknowledged by, and for whom it is, can be said in a transaction only.
            return await self.run(_execute, sql, *args, idempotent=idempotent, timeout=timeout)
        nodes = self._running()
        attempts = Attempts(nodes.monitor, options.positive("timeout", timeout), idempotent=idempotent)
        return await statement.execute(
            nodes, attempts, lambda connection: connection.execute(sql, *args), sql, degraded=self._degraded
        )

    async def executemany(
        self,
        sql: str,
        rows: Iterable[Sequence[object]],
        *,
        idempotent: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Execute a statement once for each row of arguments, all of them in one transaction; otherwise as `run`."""
        await self.run(_executemany, sql, list(rows), idempotent=idempotent, timeout=timeout)

    async def copy_records_to_table(
        self,
        table: str,
        *,
        records: Iterable[Sequence[object]],
        columns: Sequence[str] | None = None,
        schema_name: str | None = None,
        idempotent: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> str:
        """COPY rows into a table, all of them in one transaction; otherwise as `run`.

        They are held in memory, as a retry needs them again. `tx.copy_records_to_table` takes them as they come.
        """
        options_of_copy = (list(records), columns, schema_name)
        return await self.run(_copy_records, table, *options_of_copy, idempotent=idempotent, timeout=timeout)

    def transaction(
        self,
        *,
        key: UUID | str | None = None,
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
        A failed COMMIT is raised, not repeated; `run` can repeat it. With a `key` whose transaction was committed
        before, the loop has no round at all; and `CommitUnknownError.resolve()` tells what became of a lost COMMIT.

        Raises:
            CommitUnknownError: the connection was lost during COMMIT.
            RetryBudgetExceededError: attempts or time ran out.
            KeyReusedError: the key was used for a `run` or a batch.
            KeyExpiredError: the key is older than keys are kept.
            SchemaError: there is no table for keys; `outlive migrate` makes it.
        """
        nodes = self._running()
        terms = self._terms(durability, isolation, None if key is None else self._key(key, NO_REQUEST))
        resolver = None if key is None else partial(running.resolve, nodes, terms)
        timeout_s = options.positive("timeout", timeout)
        return Transactions(nodes, terms, Attempts(nodes.monitor, timeout_s, idempotent=False, resolver=resolver))

    async def run(
        self,
        fn: Callable[Concatenate[Transaction, ...], Awaitable[T]],
        *args: object,
        key: UUID | str | None = None,
        durability: Durability | DurabilityName = Durability.CRITICAL,
        isolation: Isolation | None = None,
        idempotent: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
        on_receipt: Callable[[Receipt], object] | None = None,
    ) -> T:
        """Run `fn(tx, *args)` in a transaction on the primary and return what it returned.

        `fn` runs again after each failure that leaves nothing applied, within `timeout` seconds in all; what it does
        outside the database is done again too. A COMMIT of unknown outcome is repeated only if `idempotent`, or with a
        `key`: then it is applied once, however often and by whomever it is asked for, and what it returned is stored
        as JSON and returned each time. `on_receipt` is called with the receipt of the commit.

        Raises:
            CommitUnknownError: the connection was lost during COMMIT, with no `key`, and `fn` is not `idempotent`.
            RetryBudgetExceededError: attempts or time ran out.
            KeyReusedError: the key was used for another function, or for other arguments.
            KeyExpiredError: the key is older than keys are kept.
            UnstorableError: `fn` returned what JSON has no form for; nothing is applied.
            SchemaError: there is no table for keys; `outlive migrate` makes it.
        """
        nodes = self._running()
        running.refuse_nesting(nodes)
        keyed = None if key is None else self._key(key, request_hash(fn, args))
        terms = self._terms(durability, isolation, keyed)
        timeout_s = options.positive("timeout", timeout)
        attempts = Attempts(nodes.monitor, timeout_s, idempotent=idempotent or key is not None)
        return await running.run(nodes, terms, attempts, lambda tx: fn(tx, *args), on_receipt)

    async def batch(
        self,
        statements: Iterable[str | Statement],
        *,
        key: UUID | str | None = None,
        durability: Durability | DurabilityName = Durability.CRITICAL,
        isolation: Isolation | None = None,
        idempotent: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Receipt:
        """Several statements in one transaction, and in one round trip; each is `"sql"` or `("sql", [argument, ...])`.

        They are for writing: rows that they return are dropped. The first time that a connection meets a statement
        takes a round trip more; an argument whose text form is not surely exact (an interval, a type of your own)
        makes the batch go statement by statement. All else is as with `run`.

        Raises:
            CommitUnknownError: the connection was lost, with no `key`, and the batch is not `idempotent`.
            RetryBudgetExceededError: attempts or time ran out.
            KeyReusedError: the key was used for something else, or for other statements or arguments.
        """
        from outlive.client import batch as batches  # so that a plain import stays quick

        nodes = self._running()
        running.refuse_nesting(nodes)
        asked = batches.checked(statements)
        keyed = None if key is None else self._key(key, statements_hash(asked))
        terms = self._terms(durability, isolation, keyed)
        timeout_s = options.positive("timeout", timeout)
        attempts = Attempts(nodes.monitor, timeout_s, idempotent=idempotent or key is not None)
        return await batches.batch(nodes, terms, attempts, asked)

    async def writer(
        self,
        table: str,
        columns: Sequence[str],
        *,
        durability: Durability | DurabilityName = Durability.CRITICAL,
        exactly_once: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Writer:
        """A writer that appends rows to a table, and lets rows that come together share a commit.

            async with await db.writer("events", ["at", "body"]) as writer:
                receipt = await writer.append(at, body)

        `table` is a name as SQL writes it (`agents.events`), `columns` are plain names. Rows of one task keep their
        order, as it waits for each. With `exactly_once`, lost answers are found out by a key for each group.

        Raises:
            ConfigurationError: there is no such table or column.
        """
        from outlive.client import coalesce  # so that a plain import stays quick

        nodes = self._running()
        known = {row["name"]: row for row in await self.fetch(coalesce.COLUMNS, table, read="strong", timeout=timeout)}
        target = coalesce.target(table, columns, known)
        terms = self._terms(durability, None)
        timeout_s = options.positive("timeout", timeout)
        return coalesce.Writer(nodes, terms, target, exactly_once=exactly_once, timeout_s=timeout_s)

    async def locate(self, receipt: Receipt, *, timeout: float = DEFAULT_TIMEOUT_S) -> Receipt:
        """The receipt with an `lsn` at or after its commit, and the standbys that have flushed that much.

        Costs a round trip to the primary; the sooner after the commit, the closer the position. Works for a receipt of
        another process too. The standbys' positions are shown to roles with `pg_read_all_stats` only.

        Raises:
            ConfigurationError: the receipt is of another cluster.
            CommitUnknownError: a failover came after a commit that no standby had to confirm.
            NoPrimaryError: no primary on the receipt's timeline, or a later one, was found within `timeout` seconds.
        """
        deadline = Deadline.after(options.positive("timeout", timeout), monotonic())
        return await locating.locate(self._running(), receipt, deadline)

    async def expire_keys(self, keep: timedelta = KEEP_KEYS, *, timeout: float = DEFAULT_TIMEOUT_S) -> tuple[int, int]:
        """Forget keys older than `keep`: the days of UUIDv7 keys that were dropped, and the other keys deleted.

        To be called once a day, by the role that migrated. A UUIDv7 of a forgotten day is refused from then on; any
        other key that was forgotten counts as new.
        """
        days, others = await self.run(expire, keep, idempotent=True, timeout=timeout)
        return days, others

    @asynccontextmanager
    async def connection(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> AsyncIterator[asyncpg.Connection]:
        """A driver's connection to the primary. Nothing done on it is retried; its session is reset afterwards."""
        nodes = self._running()
        attempts = Attempts(nodes.monitor, options.positive("timeout", timeout), idempotent=False)
        async with bare.connection(nodes, attempts) as connection:
            yield connection

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

    def as_tenant(self, tenant: str) -> Cluster:
        """This client, acting for a tenant: where tenants are kept apart, it sees and writes that one's rows alone.

        Both share their connections; closing this one does nothing. A read takes two round trips more. A connection
        by `connection()` acts for no tenant, and COPY into tables whose tenants are kept apart is not to be had.

        Raises:
            ConfigurationError: it is no name, or the client is not running.
        """
        self._running()
        acting = copy.copy(self)
        acting._whole, acting._tenant = self._whole or self, options.tenant(tenant)  # noqa: SLF001 - its own copy
        return acting

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

    async def _read(
        self, call: statement.Call[T], sql: str, read: Freshness | str, timeout: float, *, linearizable: bool
    ) -> T:
        nodes = self._running()
        attempts = Attempts(nodes.monitor, options.positive("timeout", timeout), idempotent=True)
        freshness = options.freshness(read, linearizable=linearizable)
        if self._tenant is not None:
            call = statement.for_tenant(call, self._tenant)
        if linearizable:
            return await linearizables.read(nodes, attempts, call, sql)
        return await statement.read(nodes, attempts, freshness, call, sql)

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


async def _execute(tx: Transaction, sql: str, *args: object) -> str:
    return await tx.execute(sql, *args)


async def _executemany(tx: Transaction, sql: str, rows: Sequence[Sequence[object]]) -> None:
    await tx.executemany(sql, rows)


async def _copy_records(
    tx: Transaction,
    table: str,
    records: Sequence[Sequence[object]],
    columns: Sequence[str] | None,
    schema_name: str | None,
) -> str:
    return await tx.copy_records_to_table(table, records=records, columns=columns, schema_name=schema_name)

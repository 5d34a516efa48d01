"""A client of one cluster: it follows the primary, and retries what is safe to retry.

Each call chooses a node from the monitor's picture, takes a connection from that node's pool and runs; a failure is
turned into facts, judged by the plan, and tried again or raised. What it does is told by seam: `lifecycle.py`,
`reading.py`, `writing.py`. Read `transaction.py` next.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg

from outlive.client import bare, locating, options
from outlive.client import dsn as dsns
from outlive.client import pooler as through_a_pooler
from outlive.client.attempts import Attempts
from outlive.client.claims import expire
from outlive.client.nodes import Limits
from outlive.client.options import DEFAULT_TIMEOUT_S, DegradedName
from outlive.client.source import Source
from outlive.client.writing import Writing
from outlive.model.deadline import Deadline
from outlive.model.durability import Receipt
from outlive.system import monotonic
from outlive.telemetry.hooks import Hook, collect

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


class Cluster(Writing):
    """A client of one cluster; made by `connect`. Usable by many tasks of one event loop at once."""

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

"""A client under load while Patroni fails over: what was acknowledged stays, and how long writes stood still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

import outlive
from integration.client.waiting import until
from integration.conftest import RunningCluster
from outlive.testing import LocalCluster

WRITERS = 4


@dataclass
class Load:
    """Writers with a ledger outside the database; `seen` counts what callers got, by the error's name."""

    db: outlive.Cluster
    acknowledged: set[int] = field(default_factory=set)
    seen: dict[str, int] = field(default_factory=dict)
    gap_s: float = 0.0
    stopped: bool = False

    async def write(self, writer: int) -> None:
        """Insert one key after the other until stopped; each insert says the same however often it is said."""
        key, last = writer * 1_000_000, time.monotonic()
        while not self.stopped:
            key += 1
            try:
                await self.db.run(_insert, key, idempotent=True, timeout=180)
            except outlive.OutliveError as error:
                self.seen[error.code] = self.seen.get(error.code, 0) + 1
            else:
                self.acknowledged.add(key)
            self.gap_s, last = max(self.gap_s, time.monotonic() - last), time.monotonic()

    async def more(self, count: int, limit_s: float) -> None:
        """Wait until `count` further writes were acknowledged."""
        wanted = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= wanted, limit_s)


async def _insert(tx: outlive.Transaction, key: int) -> None:
    await tx.execute("insert into client_load values ($1) on conflict do nothing", key)


@asynccontextmanager
async def load_on(dsn: str) -> AsyncIterator[Load]:
    """Writers at work; at the end nothing acknowledged may be missing, and nothing may have been raised."""
    async with outlive.connect(dsn) as db:
        await db.execute("drop table if exists client_load", idempotent=True)
        made = "create table if not exists client_load (id bigint primary key)"
        await db.execute(made, idempotent=True)
        load = Load(db)
        async with asyncio.TaskGroup() as group:
            for writer in range(WRITERS):
                group.create_task(load.write(writer))
            try:
                await load.more(100, 120)
                yield load
            finally:
                load.stopped = True
        found = {row["id"] for row in await db.fetch("select id from client_load", read="strong")}
        print(f"acknowledged {len(load.acknowledged)}, outage {load.gap_s:.2f} s, raised {load.seen}")  # noqa: T201
        assert load.acknowledged <= found
        assert not load.seen


async def _kill_postgres(local: LocalCluster, node: str) -> None:
    local.kill_postgres(node)


async def _kill_node(local: LocalCluster, node: str) -> None:
    local.kill_node(node)


async def _switch_over(local: LocalCluster, node: str) -> None:
    assert await local.switchover() != node


@pytest.mark.parametrize("fault", [_kill_postgres, _kill_node, _switch_over])
async def test_a_failover_is_ridden_out(
    whole_cluster: RunningCluster, fault: Callable[[LocalCluster, str], Awaitable[None]]
) -> None:
    """Idempotent runs see no error at all, and each acknowledged one is there afterwards."""
    async with load_on(whole_cluster.dsn) as load:
        old = await load.db.wait_primary()
        await fault(whole_cluster.local, await whole_cluster.local.primary())
        await until(lambda: _promoted(load.db, old.timeline), 180)
        await load.more(200, 180)


async def _promoted(db: outlive.Cluster, timeline: int) -> bool:
    return any(node.timeline > timeline for node in db.topology.nodes)

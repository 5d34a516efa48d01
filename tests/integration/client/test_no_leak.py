"""Failovers leave nothing behind: connections, tasks and file descriptors are what they were."""

from __future__ import annotations

import asyncio
import gc
import os
from dataclasses import dataclass

import asyncpg

import outlive
from conformance.fake_topology import FakeCluster
from integration.client.servers import Servers
from integration.client.waiting import until
from integration.conftest import RunningCluster
from outlive.client import dsn as dsns
from outlive.model.topology import Role

FAKE_FAILOVERS = 200
REAL_FAILOVERS = 20 if os.environ.get("OUTLIVE_FAULTS") == "full" else 2
NAME = "leak_test"
CALLERS = 4
LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises when its server goes down, whichever step it is at."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the process and its servers hold."""

    tasks: int
    descriptors: int
    sessions: int


async def held(servers: list[str]) -> Held:
    """Counted now; the sessions are those of the client under test."""
    gc.collect()
    sessions = 0
    for dsn in servers:
        connection = await asyncpg.connect(dsn)
        try:
            sessions += await connection.fetchval(
                "select count(*) from pg_stat_activity where application_name = $1 and state is not null", NAME
            )
            await connection.close()
        finally:
            connection.terminate()  # a server that goes down under the question must not leave this one behind
    return Held(len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), sessions)  # noqa: PTH208 - ours, at once


async def settled(servers: list[str], before: Held) -> None:
    """Return once no more is held than before; the servers notice the end of a session by and by."""

    async def no_more() -> bool:
        try:
            now = await held(servers)
        except LOST:
            return False  # the one that was killed last is about to join again
        return now.tasks <= before.tasks and now.descriptors <= before.descriptors and now.sessions <= before.sessions

    try:
        await until(no_more, 120)
    except TimeoutError:
        raise AssertionError(f"before {before}, now {await held(servers)}") from None


async def use(db: outlive.Cluster) -> None:
    """Callers of every kind at once; what a failover does to them is not the question here."""

    async def hold() -> None:
        async with db.connection(timeout=5) as connection:
            await connection.fetchval("select 1")

    calls = [db.fetchval("select 1", read="eventual", timeout=5) for _ in range(CALLERS)]
    calls += [db.fetchval("select 1", timeout=5) for _ in range(CALLERS)]
    await asyncio.gather(*calls, *(hold() for _ in range(CALLERS)), return_exceptions=True)


async def test_failovers_on_a_fake_topology_leave_nothing(servers: Servers) -> None:
    """After 200 changes of the primary, with callers at work, a client holds what it held after the first few."""
    dsn = f"{servers.dsn()}&application_name={NAME}"
    each = [servers.dsn(names=(name,)) for name in servers.ports]
    before = await held(each)
    fake = FakeCluster(dsns.parse(dsn).hosts)
    async with outlive.connect(dsn, topology=fake.source) as db:

        async def fail_over() -> None:
            old = fake.primary
            assert old is not None
            thaw = await fake.freeze(old)
            using = asyncio.create_task(use(db))
            await fake.switch_over()
            db._running().monitor.report()
            await until(lambda: primary_of(db) == fake.primary)
            thaw()
            db._running().monitor.report()
            await until(lambda: len(db.topology.nodes) == 3)
            await using

        for _ in range(5):
            await fail_over()
        bound = Held(before.tasks + 12, before.descriptors + 30, 30)
        for _ in range(FAKE_FAILOVERS):
            await fail_over()
        await settled(each, bound)
        await use(db)
    await settled(each, before)


async def test_real_failovers_leave_nothing(whole_cluster: RunningCluster) -> None:
    """After switchovers and killed primaries in turn, with callers at work, a closed client has left nothing."""
    separator = "&" if "?" in whole_cluster.dsn else "?"
    dsn = f"{whole_cluster.dsn}{separator}application_name={NAME}"
    parsed = dsns.parse(whole_cluster.dsn)
    each = [dsns.Dsn((host,), parsed.user, parsed.password, parsed.database).render() for host in parsed.hosts]
    before = await held(each)
    async with outlive.connect(dsn) as db:
        for number in range(REAL_FAILOVERS):
            old = await db.wait_primary()
            using = asyncio.create_task(use(db))
            if number % 2:
                whole_cluster.local.kill_postgres(await whole_cluster.local.primary())
            else:
                await whole_cluster.local.switchover()
            await until(lambda old=old: changed(db, old.timeline), 180)  # type: ignore[misc]
            await using
            await until(lambda: len(db.topology.nodes) == 3, 180)
            await use(db)
        assert len(asyncio.all_tasks()) <= before.tasks + 12
    await settled(each, before)


def primary_of(db: outlive.Cluster) -> object:
    """The address of the one primary in the client's picture."""
    found = [node for node in db.topology.nodes if node.role is Role.PRIMARY]
    return max(found, key=lambda node: node.timeline).address if found else None


def changed(db: outlive.Cluster, timeline: int) -> bool:
    """Whether there is a primary on a higher timeline."""
    return any(node.role is Role.PRIMARY and node.timeline > timeline for node in db.topology.nodes)

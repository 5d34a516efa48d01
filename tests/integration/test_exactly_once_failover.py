"""A request with a key is applied once, while COMMITs are cut and the primary fails over."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random
from uuid import uuid4

import pytest

import outlive
from integration.client.waiting import until
from integration.conftest import RunningCluster
from outlive.client import dsn as dsns
from outlive.model.topology import Address
from outlive.stores import migrate
from outlive.testing import FaultProxy

OPERATIONS = 1000 if os.environ.get("OUTLIVE_FAULTS") == "full" else 300
TASKS = 8


async def insert(tx: outlive.Transaction, number: int) -> int:
    """Say something that is wrong if it is said twice."""
    await tx.execute("insert into exactly_once values ($1)", number)
    return number


@pytest.mark.parametrize("fault", ["kill_postgres", "kill_node"])
async def test_operations_during_a_failover_are_applied_once(whole_cluster: RunningCluster, fault: str) -> None:
    """Of the COMMITs of 8 tasks 40 % are cut, and the primary dies under them: each ends applied once."""
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(outlive.connect(whole_cluster.dsn))
        await migrate(db)
        await db.execute("drop table if exists exactly_once; create table exactly_once (id bigint)", idempotent=True)
        known = dsns.resolve(whole_cluster.dsn)
        proxies = [
            await stack.enter_async_context(FaultProxy(host.port, random=Random(host.port))) for host in known.hosts
        ]
        hosts = tuple(Address("127.0.0.1", proxy.port) for proxy in proxies)
        cut = await stack.enter_async_context(outlive.connect(replace(known, hosts=hosts).render()))
        for proxy in proxies:
            proxy.cut_commit("before", probability=0.2)
            proxy.cut_commit("after", probability=0.25)  # of the 80 % that are left
        returned: list[int] = []

        async def worker(first: int) -> None:
            for number in range(first, OPERATIONS, TASKS):
                key = outlive.new_key() if number % 2 else f"operation-{uuid4()}"
                returned.append(await cut.run(insert, number, key=key, timeout=180))

        old, node = await db.wait_primary(), await whole_cluster.local.primary()
        async with asyncio.TaskGroup() as group:
            for first in range(TASKS):
                group.create_task(worker(first))
            await until(lambda: len(returned) >= OPERATIONS // 4, 180)
            # Asked before: while Patroni answers, the others might all be done.
            getattr(whole_cluster.local, fault)(node)
        rows = await db.fetch("select id from exactly_once", read="strong")
        assert (await db.wait_primary()).timeline > old.timeline
        cuts = sum((proxy.cuts for proxy in proxies), Counter())
        print(f"{OPERATIONS} operations, {fault}, cuts: {dict(cuts)}")  # noqa: T201
        assert sorted(row["id"] for row in rows) == sorted(returned) == list(range(OPERATIONS))
        assert min(cuts["before"], cuts["after"]) >= OPERATIONS // 10

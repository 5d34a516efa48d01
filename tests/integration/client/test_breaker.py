"""A node that refuses connections is left alone until the watch has heard it again."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

import outlive
from integration.client.servers import Servers
from integration.client.waiting import until
from outlive.client.plan.breaker import State
from outlive.client.pools import Pool


@pytest.fixture
async def crowded(servers: Servers) -> str:
    """The DSN of a role that has room for the watch's connection to each node and no other."""
    await servers.sql("n1", "drop role if exists crowded", "create role crowded login password 'p@ss/w:rd'", "select 1")
    await servers.sql("n1", "alter role crowded connection limit 1", "select 1")
    return servers.dsn(user="crowded", names=("n1",))


async def test_a_node_without_room_opens_its_circuit_and_the_watch_closes_it(crowded: str, servers: Servers) -> None:
    """Callers stop knocking; once there is room, one tries first, and then all are served."""
    async with outlive.connect(crowded) as db:
        (pool,) = db._running().pools.values()
        calls = [asyncio.create_task(db.fetchval("select 1", read="strong", timeout=20)) for _ in range(8)]
        await until(lambda: pool.breaker.state is not State.CLOSED)
        await servers.sql("n1", "alter role crowded connection limit 20", "select 1")
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert await db.fetchval("select 1", read="strong") == 1
        assert 1 in answers
        assert is_closed(pool)


async def test_a_refused_login_is_the_callers_to_hear(crowded: str, servers: Servers) -> None:
    """The server's own words pass through, however often, and open no circuit."""
    await servers.sql("n1", "alter role crowded connection limit 20", "select 1")
    async with outlive.connect(crowded) as db:
        (pool,) = db._running().pools.values()
        await servers.sql("n1", "alter role crowded password 'other'", "select 1")
        for _ in range(8):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await db.fetchval("select 1", read="strong")
        assert is_closed(pool)


def is_closed(pool: Pool) -> bool:
    """Whether its circuit lets everybody through."""
    return pool.breaker.state is State.CLOSED

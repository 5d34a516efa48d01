"""A session's state that one caller leaves is not there for the next one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import outlive
from integration.client.servers import Servers

ONE = "select pg_backend_pid()"
LOCKS = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"


@pytest.fixture
async def lone(servers: Servers) -> AsyncIterator[outlive.Cluster]:
    """A client with one connection to each node, so that each caller gets what the last one left."""
    async with outlive.connect(servers.dsn(), pool_size=1) as client:
        yield client


@pytest.mark.parametrize(
    ("sql", "question", "clean"),
    [
        ("set search_path = elsewhere", "show search_path", '"$user", public'),
        ("select set_config('work_mem', '64kB', false)", "show work_mem", "4MB"),
        ("set session authorization pg_monitor", "select current_user::text", "postgres"),
        ("create temp table scratch (id int)", "select to_regclass('scratch')::text", None),
        ("listen news", "select count(*) from pg_listening_channels()", 0),
        ("select pg_advisory_lock(7)", LOCKS, 0),
        ("declare c cursor with hold for select 1", "select count(*) from pg_cursors where name = 'c'", 0),
        ("prepare p as select 1", "select count(*) from pg_prepared_statements where from_sql", 0),
    ],
)
@pytest.mark.parametrize("way", ["transaction", "connection", "execute"])
async def test_what_a_caller_leaves_is_gone(
    lone: outlive.Cluster, way: str, sql: str, question: str, clean: object
) -> None:
    """Whichever way the statement took, the next caller on that connection finds a session like new."""
    if way == "execute":
        await lone.execute(sql, idempotent=True)
    elif way == "connection":
        async with lone.connection() as connection:
            await connection.execute(sql)
    else:
        async for tx in lone.transaction():
            async with tx:
                await tx.execute(sql)
    assert await lone.fetchval(question, read="strong") == clean


async def test_ordinary_statements_keep_the_session(lone: outlive.Cluster) -> None:
    """No reset, no new connection: the same session serves on, its prepared statements with it."""
    before = await lone.fetchval(ONE, read="strong")
    async for tx in lone.transaction():
        async with tx:
            await tx.execute("set local work_mem = '64kB'")
    assert await lone.fetchval(ONE, read="strong") == before
    assert await lone.fetchval("select count(*) from pg_prepared_statements", read="strong") > 1


async def test_a_reset_keeps_the_connection_and_its_ear(lone: outlive.Cluster) -> None:
    """After a reset the session is the same one, and warnings are heard still."""
    before = await lone.fetchval(ONE, read="strong")
    await lone.execute("set work_mem = '64kB'", idempotent=True)
    assert await lone.fetchval(ONE, read="strong") == before
    async with lone.connection() as connection:
        assert connection._log_listeners


async def test_a_session_beyond_reset_is_replaced(lone: outlive.Cluster) -> None:
    """What no reset removes ends with its connection."""
    before = await lone.fetchval(ONE, read="strong")
    await lone.execute("deallocate all", idempotent=True)
    assert await lone.fetchval(ONE, read="strong") != before

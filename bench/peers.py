"""The contestants: what a program would use to reach PostgreSQL, each in its own best manner.

All write to the same primary of the same cluster with its default of synchronous commit, from a pool of ten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from urllib.parse import urlsplit

import asyncpg
import psycopg_pool
from hasql.driver.asyncpg import PoolManager
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

import outlive
from slices import Operation

POOL_SIZE = 10
SELECT = "SELECT 1"
INSERT = "INSERT INTO bench (payload) VALUES ($1)"
STATEMENTS = (
    INSERT,
    "UPDATE bench_counter SET value = value + 1 WHERE id = $1",
    "SELECT value FROM bench_counter WHERE id = $1",
)
PAYLOAD = "x" * 200
COUNTERS = 1000

Peer = Callable[[str], AbstractAsyncContextManager[Mapping[str, Operation]]]


def _counters() -> Callable[[], int]:
    numbers = count()
    return lambda: next(numbers) % COUNTERS


@asynccontextmanager
async def raw(dsn: str) -> AsyncIterator[Mapping[str, Operation]]:
    """asyncpg's own pool: the reference."""
    async with asyncpg.create_pool(dsn, min_size=POOL_SIZE, max_size=POOL_SIZE) as pool:
        yield _over_pool(pool.acquire)


@asynccontextmanager
async def hasql(dsn: str) -> AsyncIterator[Mapping[str, Operation]]:
    """hasql over asyncpg: chooses a host by role."""
    options = {"min_size": POOL_SIZE - 1, "max_size": POOL_SIZE - 1}
    hosts = dsn.partition("?")[0]  # it looks for the primary itself
    pool = PoolManager(hosts, fallback_master=True, pool_factory_kwargs=options)
    try:
        await pool.ready(masters_count=1, replicas_count=2)
        operations = _over_pool(pool.acquire_master)

        async def select() -> object:
            async with pool.acquire_replica() as connection:
                return await connection.fetchval(SELECT)

        yield {**operations, "select": select}
    finally:
        await pool.close()


def _over_pool(acquire: Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]) -> dict[str, Operation]:
    number = _counters()

    async def select() -> object:
        async with acquire() as connection:
            return await connection.fetchval(SELECT)

    async def insert() -> object:
        async with acquire() as connection:
            return await connection.execute(INSERT, PAYLOAD)

    async def transaction() -> object:
        async with acquire() as connection, connection.transaction():
            counter = number()
            await connection.execute(STATEMENTS[0], PAYLOAD)
            await connection.execute(STATEMENTS[1], counter)
            return await connection.fetchval(STATEMENTS[2], counter)

    return {"select": select, "insert": insert, "transaction": transaction}


@asynccontextmanager
async def sqlalchemy(dsn: str) -> AsyncIterator[Mapping[str, Operation]]:
    """SQLAlchemy's async engine, core, over asyncpg."""
    primary = await _primary(dsn)
    engine = create_async_engine(primary.replace("postgresql://", "postgresql+asyncpg://"), pool_size=POOL_SIZE)
    number = _counters()
    named = [text(statement.replace("$1", ":value")) for statement in STATEMENTS]

    async def select() -> object:
        async with engine.connect() as connection:
            return (await connection.execute(text(SELECT))).scalar()

    async def insert() -> object:
        async with engine.begin() as connection:
            return await connection.execute(named[0], {"value": PAYLOAD})

    async def transaction() -> object:
        async with engine.begin() as connection:
            counter = number()
            await connection.execute(named[0], {"value": PAYLOAD})
            await connection.execute(named[1], {"value": counter})
            return (await connection.execute(named[2], {"value": counter})).scalar()

    try:
        yield {"select": select, "insert": insert, "transaction": transaction}
    finally:
        await engine.dispose()


@asynccontextmanager
async def psycopg(dsn: str) -> AsyncIterator[Mapping[str, Operation]]:
    """psycopg's async pool."""
    number = _counters()
    named = [statement.replace("$1", "%s") for statement in STATEMENTS]
    async with psycopg_pool.AsyncConnectionPool(dsn, min_size=POOL_SIZE, max_size=POOL_SIZE) as pool:

        async def select() -> object:
            async with pool.connection() as connection:
                return await (await connection.execute(SELECT)).fetchone()

        async def insert() -> object:
            async with pool.connection() as connection:
                return await connection.execute(named[0], [PAYLOAD])

        async def transaction() -> object:
            async with pool.connection() as connection:
                counter = number()
                await connection.execute(named[0], [PAYLOAD])
                await connection.execute(named[1], [counter])
                return await (await connection.execute(named[2], [counter])).fetchone()

        yield {"select": select, "insert": insert, "transaction": transaction}


async def _primary(dsn: str) -> str:
    """The DSN of the primary alone, for a driver that takes one host."""
    connection = await asyncpg.connect(dsn)
    host, port = connection.get_settings() and connection._addr  # noqa: SLF001 - asyncpg tells it nowhere else
    await connection.close()
    parts = urlsplit(dsn)
    login = parts.netloc.rpartition("@")[0]
    return f"postgresql://{login}@{host}:{port}{parts.path}"


@asynccontextmanager
async def ours(dsn: str) -> AsyncIterator[Mapping[str, Operation]]:
    """outlive: reads routed by freshness; writes with durability class, fence and key, which no other one has."""
    number = _counters()

    async def three(tx: outlive.Transaction) -> None:
        counter = number()
        await tx.execute(STATEMENTS[0], PAYLOAD)
        await tx.execute(STATEMENTS[1], counter)
        await tx.fetchval(STATEMENTS[2], counter)

    async def batch() -> object:
        counter = number()
        statements: list[tuple[str, list[object]]] = [
            (STATEMENTS[0], [PAYLOAD]),
            (STATEMENTS[1], [counter]),
            (STATEMENTS[2], [counter]),
        ]
        return await db.batch(statements, key=outlive.new_key())

    async with outlive.connect(dsn, pool_size=POOL_SIZE) as db, await db.writer("bench", ["payload"]) as writer:
        yield {
            "select": lambda: db.fetchval(SELECT),
            "execute": lambda: db.execute(INSERT, PAYLOAD),
            "insert": lambda: db.batch([(INSERT, [PAYLOAD])], key=outlive.new_key()),
            "transaction": lambda: db.run(three, key=outlive.new_key()),
            "batch": batch,
            "append": lambda: writer.append(PAYLOAD),
        }


PEERS: dict[str, Peer] = {
    "asyncpg pool": raw,
    "outlive": ours,
    "hasql": hasql,
    "psycopg pool": psycopg,
    "SQLAlchemy": sqlalchemy,
}
REFERENCE = "asyncpg pool"

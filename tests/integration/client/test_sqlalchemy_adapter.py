"""SQLAlchemy's engines in use while the primary changes."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

import outlive
import outlive.sync
from conditions import eventually
from integration.client.servers import Servers
from integration.client.waiting import until, waited
from integration.conftest import RunningCluster
from outlive.adapters.sqlalchemy import create_async_engine, create_engine

PORT = text("select inet_server_port()")
SLEEP = text("select pg_sleep(60)")


async def port(engine: AsyncEngine) -> int:
    """The port of the server that a checked-out connection is to."""
    async with engine.connect() as connection:
        return int((await connection.execute(PORT)).scalar_one())


@pytest.fixture
async def client(doomed: Servers) -> AsyncIterator[outlive.Cluster]:
    """A client of servers that this test breaks."""
    async with outlive.connect(doomed.dsn(), degraded="allow") as db:
        yield db


@pytest.fixture
async def engine(client: outlive.Cluster) -> AsyncIterator[AsyncEngine]:
    """An engine with three connections to n1 in its pool."""
    made = create_async_engine(client, pool_size=3)
    connections = [await made.connect() for _ in range(3)]
    for connection in connections:
        await connection.close()
    yield made
    await made.dispose()


async def test_no_pooled_connection_stays_with_a_killed_primary(
    doomed: Servers, client: outlive.Cluster, engine: AsyncEngine
) -> None:
    """Each checkout since the client knows of the death waits for the new primary, without an error to the caller."""
    assert await port(engine) == doomed.ports["n1"]
    doomed.kill("n1")
    await until(lambda: client.primary is None)
    doomed.promote("n2")
    assert [await port(engine) for _ in range(5)] == [doomed.ports["n2"]] * 5


async def test_a_query_in_flight_on_a_frozen_primary_fails_at_once(doomed: Servers, engine: AsyncEngine) -> None:
    """The connection in use is cut, and the next checkout works."""

    async def sleep() -> None:
        async with engine.connect() as connection:
            await connection.execute(SLEEP)

    sleeping = asyncio.create_task(sleep())
    asks = "select count(*) > 0 from pg_stat_activity where wait_event = 'PgSleep'"
    await until(lambda: _says(doomed, asks))
    doomed.freeze("n1")
    async with waited() as told:
        with pytest.raises(DBAPIError):
            await sleeping
    assert told.seconds < 5
    doomed.promote("n2")
    assert await port(engine) == doomed.ports["n2"]


async def _says(servers: Servers, question: str) -> bool:
    return await servers.sql("n1", question) is True


async def test_an_old_primary_that_lives_on_gets_no_write(
    doomed: Servers, client: outlive.Cluster, engine: AsyncEngine
) -> None:
    """Once a standby was promoted, the pool's connections to the old primary are not used, though they work."""
    async with engine.begin() as connection:
        await connection.execute(text("create table entries (id int)"))
    promoted = await doomed.fail_over()
    new = doomed.ports[promoted]
    await until(lambda: client.primary is not None and client.primary.address.port == new)
    for key in range(6):
        async with engine.begin() as connection:
            await connection.execute(text("insert into entries values (:key)"), {"key": key})
    assert await doomed.sql("n1", "select count(*) from entries") == 0
    assert await doomed.sql(promoted, "select count(*) from entries") == 6


async def test_a_read_only_error_evicts(doomed: Servers, engine: AsyncEngine) -> None:
    """SQLSTATE 25006 tells of a demotion, and its connection is not given out again."""
    pids = []
    for _ in range(2):
        async with engine.connect() as connection:
            pids.append((await connection.execute(text("select pg_backend_pid()"))).scalar_one())
            await connection.execute(text("set transaction read only"))
            with pytest.raises(DBAPIError) as raised:
                await connection.execute(text("create table refused (id int)"))
            assert raised.value.connection_invalidated
    assert pids[0] != pids[1]
    assert doomed.pids("n1")


async def test_an_error_of_the_callers_own_evicts_nothing(doomed: Servers, engine: AsyncEngine) -> None:
    """A violated constraint leaves the pool as it is."""
    async with engine.begin() as connection:
        await connection.execute(text("create table entries (id int primary key)"))
    with pytest.raises(IntegrityError) as raised:
        async with engine.begin() as connection:
            await connection.execute(text("insert into entries values (1), (1)"))
    assert not raised.value.connection_invalidated
    assert doomed.pids("n1")


async def test_the_synchronous_engine_follows_too(doomed: Servers) -> None:
    """The engine of threads survives the death of its primary in the same way."""

    def work() -> tuple[int, int]:
        with outlive.sync.connect(doomed.dsn(), degraded="allow") as db:
            engine = create_engine(db)
            with engine.connect() as connection:
                before = connection.execute(PORT).scalar_one()
            doomed.kill("n1")
            eventually(lambda: db.primary is None)
            doomed.promote("n2")
            with engine.connect() as connection:
                after = connection.execute(PORT).scalar_one()
            engine.dispose()
            return before, after

    with ThreadPoolExecutor(1) as threads:
        before, after = await asyncio.get_running_loop().run_in_executor(threads, work)
    assert (before, after) == (doomed.ports["n1"], doomed.ports["n2"])


async def test_an_engine_in_use_survives_a_kill_and_a_switchover(whole_cluster: RunningCluster) -> None:
    """On a real cluster: every acknowledged insert is there, and errors end when a primary is back."""
    async with outlive.connect(whole_cluster.dsn) as db:
        engine = create_async_engine(db, pool_size=4)
        async with engine.begin() as connection:
            await connection.execute(text("drop table if exists engine_entries"))
            await connection.execute(text("create table engine_entries (id int)"))
        acknowledged: list[int] = []
        failures = 0
        stop = asyncio.Event()

        async def insert(key: int) -> None:
            async with engine.begin() as connection:
                await connection.execute(text("insert into engine_entries values (:key)"), {"key": key})

        async def write(first: int) -> None:
            nonlocal failures
            for key in range(first, first + 1_000_000):
                if stop.is_set():
                    return
                try:
                    await insert(key)
                except (DBAPIError, OSError):
                    failures += 1
                    await asyncio.sleep(0.01)
                else:
                    acknowledged.append(key)

        async def goes_on() -> None:
            seen = len(acknowledged)
            await until(lambda: len(acknowledged) > seen + 50, 120)

        async with asyncio.timeout(400), asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(write(number * 1_000_000))
            await goes_on()
            whole_cluster.local.kill_postgres(await whole_cluster.local.primary())
            await goes_on()
            await whole_cluster.local.start()
            await whole_cluster.local.switchover()
            await goes_on()
            stop.set()
        async with engine.connect() as connection:
            there = {row.id for row in await connection.execute(text("select id from engine_entries"))}
            assert (await connection.execute(text("select pg_is_in_recovery()"))).scalar_one() is False
        await engine.dispose()
    assert set(acknowledged) <= there
    assert failures < 200

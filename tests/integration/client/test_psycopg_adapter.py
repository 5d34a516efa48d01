"""psycopg's connections, on plain servers that are broken under them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import outlive
import outlive.sync
from integration.client.servers import Servers
from integration.client.waiting import LIMIT_S, until, waited
from outlive.adapters.psycopg import AsyncConnector, Connector, parameters
from outlive.client.dsn import parse


async def test_a_connection_is_to_the_primary(servers: Servers) -> None:
    """Whatever the order of the nodes in the DSN."""
    async with outlive.connect(servers.dsn(names=("n3", "n2", "n1"))) as db:
        connector = AsyncConnector(db)
        async with await connector.connect(autocommit=True) as connection:
            row = await (await connection.execute("select pg_is_in_recovery()")).fetchone()
            assert row == (False,)
            assert connector.current(connection)


async def test_a_call_in_flight_fails_at_once_when_its_node_freezes_and_the_next_connection_is_to_the_new_primary(
    doomed: Servers,
) -> None:
    """Nobody waits for a frozen node, and an old connection is never taken for a current one."""
    async with outlive.connect(doomed.dsn(), degraded="allow") as db:
        connector = AsyncConnector(db)
        old = await connector.connect(autocommit=True)
        waiting = asyncio.create_task(old.execute("select pg_sleep(60)"))
        await until(lambda: _sleeps(doomed))
        doomed.freeze("n1")
        async with waited() as told:
            with pytest.raises(psycopg.OperationalError):
                await waiting
        assert told.seconds < 5
        doomed.promote("n2")
        async with await connector.connect(autocommit=True) as connection:
            assert connection.info.port == doomed.ports["n2"]
        assert not connector.current(old)
        await old.close()


async def _sleeps(servers: Servers) -> bool:
    return bool(await servers.sql("n1", "select count(*) > 0 from pg_stat_activity where wait_event = 'PgSleep'"))


async def test_a_thread_in_flight_is_cut_too(doomed: Servers) -> None:
    """The synchronous connection ends under the thread that waits on it."""

    def work() -> int:
        with outlive.sync.connect(doomed.dsn(), degraded="allow") as db:
            connector = Connector(db)
            old = connector.connect(autocommit=True)
            with pytest.raises(psycopg.OperationalError):
                old.execute("select pg_sleep(60)")
            old.close()
            with connector.connect(autocommit=True) as connection:
                return connection.info.port

    with ThreadPoolExecutor(1) as threads:
        working = asyncio.get_running_loop().run_in_executor(threads, work)
        await until(lambda: _sleeps(doomed))
        doomed.freeze("n1")
        doomed.promote("n2")
        async with asyncio.timeout(LIMIT_S):
            assert await working == doomed.ports["n2"]


async def test_without_a_primary_a_connection_is_refused_in_time(doomed: Servers) -> None:
    """A typed error instead of a wait without end."""
    async with outlive.connect(doomed.dsn(), degraded="allow") as db:
        doomed.kill("n1")
        await until(lambda: db.primary is None)
        with pytest.raises(outlive.NoPrimaryError):
            await AsyncConnector(db).connect(timeout=0.3)


def test_settings_of_the_session_travel_to_libpq() -> None:
    """What libpq has no name for becomes an option of the server, quoted as libpq wants it."""
    dsn = parse("postgresql://app@h1,h2/db?search_path=a%20b&sslmode=disable&application_name=me")
    found = parameters(dsn, dsn.hosts[1])
    assert found["host"] == "h2"
    assert found["options"] == "-c synchronous_commit=on -c search_path=a\\ b"
    assert (found["sslmode"], found["application_name"]) == ("disable", "me")

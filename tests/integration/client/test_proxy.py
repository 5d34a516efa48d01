"""The public fault proxy, between the driver and a real server."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from time import monotonic

import asyncpg
import pytest

import outlive
from integration.client.servers import PASSWORD, Servers
from integration.client.waiting import LIMIT_S, until
from outlive.errors import ConfigurationError
from outlive.testing import FaultProxy
from outlive.testing.proxy import Towards

LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


@pytest.fixture
async def proxy(servers: Servers) -> AsyncIterator[FaultProxy]:
    """A proxy before the primary."""
    async with FaultProxy(servers.ports["n1"]) as made:
        yield made


async def dial(proxy: FaultProxy) -> asyncpg.Connection:
    """A plain connection through the proxy."""
    return await asyncpg.connect(
        host="127.0.0.1", port=proxy.port, user="postgres", password=PASSWORD, database="postgres", ssl=False
    )


async def commit(connection: asyncpg.Connection, key: int) -> None:
    """Insert a row in a transaction of its own."""
    async with connection.transaction():
        await connection.execute("insert into entries values ($1, 'x')", key)


@pytest.mark.parametrize(("at_byte", "applied"), [(0, 0), (11, 0), (13, 1)])
async def test_a_commit_is_cut_at_a_byte_of_the_request(
    db: outlive.Cluster, proxy: FaultProxy, at_byte: int, applied: int
) -> None:
    """The server commits only what it got whole; `COMMIT;` is a message of 13 bytes."""
    connection = await dial(proxy)
    proxy.cut_commit("before", at_byte=at_byte, times=1)
    with pytest.raises(LOST):
        await commit(connection, 1)
    await until(lambda: _count(db, applied))
    assert proxy.cuts == {"before": 1}


@pytest.mark.parametrize("at_byte", [0, 1, 11])
async def test_a_commit_is_cut_at_a_byte_of_the_answer(db: outlive.Cluster, proxy: FaultProxy, at_byte: int) -> None:
    """The server has committed when the answer is lost."""
    connection = await dial(proxy)
    proxy.cut_commit("after", at_byte=at_byte, times=1)
    with pytest.raises(LOST):
        await commit(connection, 1)
    assert await _count(db, 1)
    await commit(other := await dial(proxy), 2)
    await other.close()


async def _count(db: outlive.Cluster, expected: int) -> bool:
    return bool(await db.fetchval("select count(*) = $1 from entries", expected, read="strong"))


async def test_a_prepared_commit_is_found(db: outlive.Cluster, proxy: FaultProxy) -> None:
    """The extended protocol is read too."""
    connection = await dial(proxy)
    await connection.execute("begin")
    await connection.execute("insert into entries values (1, 'x')")
    proxy.cut_commit("before")
    with pytest.raises(LOST):
        await connection.fetch("commit")
    await until(lambda: _count(db, 0))


@pytest.mark.parametrize("after_bytes", [0, 1, 20])
async def test_either_direction_is_cut_at_any_byte(proxy: FaultProxy, after_bytes: int) -> None:
    """A connection ends once so many bytes went, and a new one works after the faults were ended."""
    directions: tuple[Towards, ...] = ("server", "client")
    for towards in directions:
        connection = await dial(proxy)
        proxy.drop(towards, after_bytes=after_bytes)
        with pytest.raises(LOST):
            await connection.fetch("select 1")
        proxy.heal()
    connection = await dial(proxy)
    assert await connection.fetchval("select 1") == 1
    await connection.close()


async def test_a_frozen_wire_carries_nothing_until_it_thaws(proxy: FaultProxy) -> None:
    """A query waits, and is answered afterwards."""
    connection = await dial(proxy)
    proxy.freeze()
    waiting = asyncio.create_task(connection.fetchval("select 1"))
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    proxy.thaw()
    assert await waiting == 1
    await connection.close()


async def test_round_trips_are_counted_and_made_longer(proxy: FaultProxy) -> None:
    """A simple query is one round trip, which takes as long as was asked."""
    connection = await dial(proxy)
    proxy.delay(0.04)
    before, began = proxy.round_trips, monotonic()
    await connection.execute("select 1")
    assert proxy.round_trips - before == 1
    assert monotonic() - began >= 0.04
    await connection.close()


async def test_a_fault_that_makes_no_sense_is_refused(proxy: FaultProxy) -> None:
    """A misspelt fault must not pass for a test that survived it."""
    with pytest.raises(ConfigurationError, match="where can't be 'during'"):
        proxy.cut_commit("during")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="probability"):
        proxy.cut_commit("after", probability=2)
    with pytest.raises(ConfigurationError, match="times"):
        proxy.cut_commit("after", times=0)
    with pytest.raises(ConfigurationError, match="seconds"):
        proxy.delay(-1)


@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_that_comes_while_it_is_closed_is_cut(servers: Servers, turns: int) -> None:
    """Whether or not the event loop had come to it: nothing is carried after the close."""
    proxy = await FaultProxy(servers.ports["n1"]).start()
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.setblocking(False)
        for _ in range(turns):
            await asyncio.sleep(0)
        await proxy.close()
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(LIMIT_S):
                assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
    assert proxy.connections == 0


async def test_a_fault_that_has_not_come_ends_too(proxy: FaultProxy) -> None:
    """A cut beyond the end of the answer would come at the next one."""
    connection = await dial(proxy)
    proxy.cut_commit("after", at_byte=1000, times=1)
    await connection.execute("begin; commit")
    proxy.heal()
    assert len(await connection.fetch("select generate_series(1, 1000)")) == 1000
    await connection.close()


async def test_nothing_is_left_after_close(servers: Servers) -> None:
    """Connections end with the proxy, frozen ones too."""
    proxy = await FaultProxy(servers.ports["n1"]).start()
    connection = await dial(proxy)
    proxy.freeze()
    await proxy.close()
    await until(connection.is_closed)
    await until(lambda: proxy.connections == 0)
    with pytest.raises(ConfigurationError, match="does not run"):
        assert proxy.port

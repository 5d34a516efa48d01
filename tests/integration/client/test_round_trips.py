"""How often each call waits for the network, counted on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

import outlive
from integration.client.quiet import once
from integration.client.servers import NAMES, Servers
from outlive.stores import migrate
from outlive.testing import FaultProxy

INSERT = "insert into entries values ($1, $2)"
THREE: list[str | tuple[str, list[object]]] = [
    (INSERT, [1, "a"]),
    ("update entries set body = $1 where id = $2", ["b", 1]),
    ("delete from entries where id = $1", [1]),
]
CALLS = 12

Call = Callable[[outlive.Cluster], Awaitable[object]]


@pytest.fixture
async def wire(servers: Servers) -> AsyncIterator[tuple[outlive.Cluster, list[FaultProxy]]]:
    """A client that reaches every node through a proxy, but to watch it; the table `entries` has no constraint."""
    async with AsyncExitStack() as stack:
        dsn, proxies = servers.dsn(), []
        for name in NAMES:
            proxy = await stack.enter_async_context(FaultProxy(servers.ports[name]))
            dsn = dsn.replace(str(servers.ports[name]), str(proxy.port))
            proxies.append(proxy)
        db = await stack.enter_async_context(outlive.connect(dsn, topology=once(dsn)))
        await migrate(db)
        await db.execute("drop table if exists entries; create table entries (id bigint, body text)", idempotent=True)
        yield db, proxies


async def three(tx: outlive.Transaction) -> None:
    """Three statements, each with its own answer."""
    await tx.execute(INSERT, 1, "a")
    await tx.fetchval("select count(*) from entries where id = $1", 1)
    await tx.execute("delete from entries where id = $1", 1)


@pytest.mark.parametrize(
    ("trips", "call"),
    [
        pytest.param(1, lambda db: db.fetchval("select 1"), id="session read"),
        pytest.param(1, lambda db: db.fetchval("select 1", read="strong"), id="strong read"),
        pytest.param(1, lambda db: db.execute(INSERT, 1, "a"), id="execute"),
        pytest.param(1, lambda db: db.batch([(INSERT, [1, "a"])], key=outlive.new_key()), id="keyed statement"),
        pytest.param(1, lambda db: db.batch(THREE), id="batch"),
        pytest.param(1, lambda db: db.batch(THREE, key=outlive.new_key()), id="keyed batch"),
        pytest.param(5, lambda db: db.run(three), id="three statements"),
        pytest.param(5, lambda db: db.run(three, key=outlive.new_key()), id="three statements with a key"),
    ],
)
async def test_class_fence_and_key_cost_no_round_trip(
    wire: tuple[outlive.Cluster, list[FaultProxy]], trips: int, call: Call
) -> None:
    """A transaction has one for BEGIN, one a statement and one for COMMIT; all else has one."""
    assert await _fewest(wire, call) == trips


async def test_a_row_of_a_writer_takes_one(wire: tuple[outlive.Cluster, list[FaultProxy]]) -> None:
    """Alone, it is sent at once."""
    async with await wire[0].writer("entries", ["id", "body"]) as writer:
        assert await _fewest(wire, lambda _: writer.append(1, "a")) == 1


async def test_to_locate_a_receipt_takes_one(wire: tuple[outlive.Cluster, list[FaultProxy]]) -> None:
    """Once a standby has flushed it."""
    receipt = await wire[0].batch(THREE)
    assert (await wire[0].locate(receipt)).flushed
    assert await _fewest(wire, lambda db: db.locate(receipt)) == 1


async def _fewest(wire: tuple[outlive.Cluster, list[FaultProxy]], call: Call) -> int:
    """Of several calls the fewest: the first ones prepare."""
    db, proxies = wire
    found = []
    for _ in range(CALLS):
        before = sum(proxy.round_trips for proxy in proxies)
        await call(db)
        found.append(sum(proxy.round_trips for proxy in proxies) - before)
    return min(found)

"""A writer lets rows that come together share a commit, and keeps what becomes of them apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import asyncpg
import pytest

import outlive
from integration.client.servers import STANDBYS, Servers
from outlive.stores import migrate
from outlive.testing import FaultProxy


@pytest.fixture
async def proxy(servers: Servers) -> AsyncIterator[FaultProxy]:
    """A proxy before the primary."""
    async with FaultProxy(servers.ports["n1"], random=Random(9)) as made:
        yield made


@pytest.fixture
async def proxied(servers: Servers, proxy: FaultProxy, db: outlive.Cluster) -> AsyncIterator[outlive.Cluster]:
    """A client that reaches the primary through the proxy; `entries` tells its commits."""
    await migrate(db)
    await db.execute(
        "drop table if exists entries;"
        "create table entries (id bigint primary key, body text not null, tags text[], code char(3), "
        "commit xid8 default pg_current_xact_id())",
        idempotent=True,
    )
    async with outlive.connect(servers.dsn().replace(str(servers.ports["n1"]), str(proxy.port))) as client:
        yield client


async def ids(db: outlive.Cluster) -> list[int]:
    """What is there."""
    return [row["id"] for row in await db.fetch("select id from entries order by id", read="strong")]


async def commits(db: outlive.Cluster) -> int:
    """How many transactions it came in."""
    return int(await db.fetchval("select count(distinct commit::text) from entries", read="strong"))


async def test_a_lone_row_goes_at_once(proxied: outlive.Cluster) -> None:
    """Each has a commit of its own, and its receipt."""
    async with await proxied.writer("entries", ["id", "body"]) as writer:
        for number in range(3):
            receipt = await writer.append(number, "x")
            assert receipt.synchronous_standbys
            assert await ids(proxied) == list(range(number + 1))
    assert await commits(proxied) == 3


async def test_rows_that_come_together_share_commits(proxied: outlive.Cluster) -> None:
    """Far fewer commits than rows; all there."""
    async with await proxied.writer("entries", ["id", "body", "code"]) as writer:

        async def task(first: int) -> None:
            for number in range(first, 640, 32):
                await writer.append(number, "ü'\\" * number, "abc")

        await asyncio.gather(*(task(first) for first in range(32)))
    assert await ids(proxied) == list(range(640))
    assert await commits(proxied) < 160
    assert await proxied.fetchval("select bool_and(body = repeat('ü''\\', id::int) and code = 'abc') from entries")


async def test_a_bad_row_fails_alone(proxied: outlive.Cluster) -> None:
    """Its own caller gets the server's error, or the driver's; the others get their receipts."""
    rows: list[tuple[object, object]] = [(number, "x") for number in range(40)]
    rows[7], rows[20], rows[33] = (7, None), ("seven", "x"), (5, "again")
    async with await proxied.writer("entries", ["id", "body"]) as writer:
        answers = await asyncio.gather(*(writer.append(*row) for row in rows), return_exceptions=True)
    failed = {number: type(answer) for number, answer in enumerate(answers) if isinstance(answer, Exception)}
    assert failed == {7: asyncpg.NotNullViolationError, 20: asyncpg.DataError, 33: asyncpg.UniqueViolationError}
    assert await ids(proxied) == [number for number in range(40) if number not in failed]


async def test_columns_that_are_arrays_stay_as_they_are(proxied: outlive.Cluster) -> None:
    """Arrays of any length beside each other."""
    async with await proxied.writer("entries", ["id", "body", "tags"]) as writer:
        await asyncio.gather(*(writer.append(number, "x", ["t"] * number) for number in range(20)))
    found = await proxied.fetch("select id, cardinality(tags) as length from entries order by id", read="strong")
    assert [tuple(row) for row in found] == [(number, number) for number in range(20)]


async def test_lost_answers_are_found_out(proxied: outlive.Cluster, proxy: FaultProxy) -> None:
    """With `exactly_once`, groups whose commits are cut are applied once, and no caller hears of it."""
    proxy.cut_commit("before", probability=0.2)
    proxy.cut_commit("after", probability=0.25)
    async with await proxied.writer("entries", ["id", "body"], exactly_once=True) as writer:

        async def task(first: int) -> None:
            for number in range(first, 200, 8):
                await writer.append(number, "x")

        await asyncio.gather(*(task(first) for first in range(8)))
    assert await ids(proxied) == list(range(200))
    assert min(proxy.cuts["before"], proxy.cuts["after"]) > 3


async def test_a_lost_answer_is_told_to_each_row_of_its_group(proxied: outlive.Cluster, proxy: FaultProxy) -> None:
    """Without a key nobody can know."""
    async with await proxied.writer("entries", ["id", "body"]) as writer:
        proxy.cut_commit("after", times=1)
        answers = await asyncio.gather(*(writer.append(number, "x") for number in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [outlive.CommitUnknownError] * 5
    assert len({id(answer) for answer in answers}) == 5


async def test_a_deadline_tells_what_is_known(proxied: outlive.Cluster, servers: Servers) -> None:
    """A row under way is unknown at its deadline; one that still waited was not applied, and will not be."""
    async with await proxied.writer("entries", ["id", "body"]) as writer:
        await writer.append(0, "x")
        for name in STANDBYS:
            servers.freeze(name)
        try:
            under_way = []
            for number in (1, 2):
                under_way.append(asyncio.create_task(writer.append(number, "x", timeout=60)))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            late = asyncio.create_task(writer.append(3, "x", timeout=0.4))
            waiting = [asyncio.create_task(writer.append(number, "x", timeout=0.4)) for number in (4, 5)]
            answers = await asyncio.gather(late, *waiting, return_exceptions=True)
            assert {type(answer) for answer in answers} == {outlive.PoolTimeoutError}
        finally:
            for name in STANDBYS:
                servers.thaw(name)
        await asyncio.gather(*under_way)
    assert await ids(proxied) == [0, 1, 2]


async def test_closing_finishes_what_was_taken(proxied: outlive.Cluster) -> None:
    """Then nothing more is taken."""
    writer = await proxied.writer("entries", ["id", "body"])
    rows = [asyncio.create_task(writer.append(number, "x")) for number in range(50)]
    await asyncio.sleep(0)
    await writer.close()
    await writer.close()
    assert len(await asyncio.gather(*rows)) == 50
    with pytest.raises(outlive.ConfigurationError, match="closed"):
        await writer.append(51, "x")
    assert await ids(proxied) == list(range(50))


@pytest.mark.parametrize(
    ("table", "columns", "named"),
    [("nowhere", ["id"], "nowhere"), ("entries", ["idd"], "idd"), ("entries", "id", "'id'")],
)
async def test_a_wrong_target_is_refused(proxied: outlive.Cluster, table: str, columns: list[str], named: str) -> None:
    """It is named before anything is taken."""
    with pytest.raises(outlive.ConfigurationError, match=named):
        await proxied.writer(table, columns)
    async with await proxied.writer("entries", ["id", "body"]) as writer:
        with pytest.raises(outlive.ConfigurationError, match="1 values"):
            await writer.append(1)

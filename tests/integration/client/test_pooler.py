"""A client whose way leads through PgBouncer in transaction mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

import outlive
from integration.client.bouncer import PROGRAM, bouncers, present
from integration.client.servers import Servers
from integration.client.waiting import until
from outlive.stores import migrate
from require import require


@pytest.fixture
async def through(servers: Servers) -> AsyncIterator[outlive.Cluster]:
    """A client of the whole servers, each behind a PgBouncer; a table `entries`, empty."""
    require("pgbouncer", present(), f"no {PROGRAM}")
    with bouncers(servers) as dsn:
        async with outlive.connect(dsn, pooler=True) as db:
            await db.execute("drop table if exists entries")
            await db.execute("create table entries (id bigint primary key, body text)")
            yield db


async def test_statements_with_arguments_reach_one_session_each(through: outlive.Cluster) -> None:
    """Eight tasks share four sessions; no statement loses what was prepared for it."""

    async def work(task: int) -> None:
        for number in range(25):
            key = task * 1000 + number
            await through.execute("insert into entries values ($1, $2)", key, "a")
            assert await through.fetchval("select body from entries where id = $1", key) == "a"
            assert await through.fetchval("select $1::int", number, read="eventual") == number

    async with asyncio.TaskGroup() as group:
        for task in range(8):
            group.create_task(work(task))
    assert await through.fetchval("select count(*) from entries", read="strong") == 200


async def test_transactions_are_whole_and_critical(through: outlive.Cluster) -> None:
    """The class travels in the transaction, and nothing of it stays in the sessions."""

    async def write(tx: outlive.Transaction, key: int) -> str:
        await tx.execute("insert into entries values ($1, 'a')", key)
        return str(await tx.fetchval("show synchronous_commit"))

    assert {await through.run(write, key, durability="regenerable") for key in range(10)} == {"local"}
    assert {await through.run(write, key) for key in range(10, 20)} == {"on"}
    levels = {await through.fetchval("show synchronous_commit", read="strong") for _ in range(8)}
    assert levels == {"on"}


async def test_the_callers_own_error_leaves_no_transaction_behind(through: outlive.Cluster) -> None:
    """After a refused statement the same session serves on."""
    for _ in range(8):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await through.fetchval("select 1 / $1::int", 0)
    assert await through.fetchval("select 1") == 1


async def test_a_connection_hand_out_and_a_linearizable_read_work(through: outlive.Cluster) -> None:
    """What needs nothing of a session is there behind a pooler too."""
    async with through.connection() as connection:
        assert await connection.fetchval("select $1::int", 5) == 5
    assert await through.fetchval("select $1::int", 6, read="strong", linearizable=True) == 6


async def test_a_failover_behind_the_poolers(doomed: Servers) -> None:
    """The primary behind a living pooler dies, and writes go on through another one."""
    require("pgbouncer", present(), f"no {PROGRAM}")
    with bouncers(doomed) as dsn:
        async with outlive.connect(dsn, pooler=True) as db:
            await db.execute("create table entries (id bigint primary key, body text)")
            doomed.kill("n1")
            await doomed.fail_over()
            await db.execute("insert into entries values ($1, 'a') on conflict do nothing", 1, idempotent=True)
            assert await db.fetchval("select count(*) from entries") == 1
            await until(lambda: db.topology.nodes != ())


def test_a_setting_that_a_pooler_would_not_carry_is_refused() -> None:
    """It would be lost, or refuse every login."""
    with pytest.raises(outlive.ConfigurationError, match="search_path"):
        outlive.connect("postgresql://h/db?search_path=mine", pooler=True)
    outlive.connect("postgresql://h/db?application_name=mine&sslmode=require", pooler=True)


async def test_keys_batches_and_writers_work_through_it(through: outlive.Cluster) -> None:
    """They ask nothing of a session: a key is found again, and a batch goes statement by statement."""
    await migrate(through)
    statement = "insert into entries values ($1, $2)"

    async def write(tx: outlive.Transaction, number: int) -> int:
        await tx.execute(statement, number, "a")
        return number

    for key in (outlive.new_key(), f"pooled-{outlive.new_key()}"):
        await through.execute("truncate entries", idempotent=True)
        assert [await through.run(write, 1, key=key) for _ in range(3)] == [1, 1, 1]
    key = outlive.new_key()
    receipts = [await through.batch([(statement, [2, "b"]), (statement, [3, "c"])], key=key) for _ in range(2)]
    assert [receipt.replayed for receipt in receipts] == [False, True]
    async with await through.writer("entries", ["id", "body"], exactly_once=True) as writer:
        await asyncio.gather(*(writer.append(number, "d") for number in range(4, 50)))
    assert await through.fetchval("select count(*) from entries", read="strong") == 49

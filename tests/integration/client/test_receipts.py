"""Receipts: gathered where they are made, located afterwards, handed to another process."""

from __future__ import annotations

from dataclasses import replace

import pytest

import outlive
from integration.client.servers import STANDBYS, Servers
from outlive.model.lsn import Lsn, Timeline

INSERT = "insert into entries values ($1, 'x')"


async def insert(tx: outlive.Transaction, key: int) -> None:
    """Something to commit."""
    await tx.execute(INSERT, key)


@pytest.fixture
async def made(db: outlive.Cluster) -> outlive.Receipt:
    """The receipt of a critical commit."""
    return await db.batch([(INSERT, [1])])


async def position(servers: Servers) -> Lsn:
    """How far the primary's WAL goes."""
    return Lsn.parse(str(await servers.sql("n1", "select pg_current_wal_insert_lsn()::text")))


async def test_the_position_is_at_or_after_the_commit(db: outlive.Cluster, servers: Servers) -> None:
    """It lies between the commit's end and the moment it was asked for, on the same node and timeline."""
    before = await position(servers)
    receipt = await db.batch([(INSERT, [1])])
    committed = Lsn.parse(str(await servers.sql("n1", "select pg_current_wal_flush_lsn()::text")))
    located = await db.locate(receipt)
    assert located.lsn is not None
    assert before < committed <= located.lsn <= await position(servers)
    assert replace(located, lsn=None, flushed=()) == receipt
    assert located.flushed
    assert set(located.flushed) <= set(STANDBYS)


async def test_a_located_receipt_keeps_its_position(db: outlive.Cluster, made: outlive.Receipt) -> None:
    """Asked again, it only learns of more standbys."""
    located = await db.locate(made)
    await db.batch([(INSERT, [2])])
    again = await db.locate(located)
    assert again.lsn == located.lsn
    assert set(again.flushed) >= set(located.flushed)


async def test_another_process_locates_it(db: outlive.Cluster, servers: Servers, made: outlive.Receipt) -> None:
    """A text is all that it takes."""
    async with outlive.connect(servers.dsn()) as other:
        located = await other.locate(outlive.Receipt.parse(str(made)))
    assert located.lsn is not None
    assert located.flushed
    assert db.topology.nodes


async def test_a_receipt_of_another_cluster_is_refused(db: outlive.Cluster, made: outlive.Receipt) -> None:
    """Its positions mean nothing here."""
    with pytest.raises(outlive.ConfigurationError, match="another cluster"):
        await db.locate(replace(made, system_identifier="1"))


async def test_a_receipt_from_the_future_is_not_located(db: outlive.Cluster, made: outlive.Receipt) -> None:
    """Where only older timelines are known, nothing can be said of it."""
    with pytest.raises(outlive.NoPrimaryError, match="timeline 9"):
        await db.locate(replace(made, timeline=Timeline(9)), timeout=0.5)


async def test_after_a_failover_it_is_located_on_the_new_primary(doomed: Servers) -> None:
    """A critical commit is there; one that nobody had to confirm may be lost, and that is said."""
    async with outlive.connect(doomed.dsn()) as db:
        await db.execute("create table entries (id bigint primary key, body text)")
        critical = await db.batch([(INSERT, [1])])
        local = await db.batch([(INSERT, [2])], durability="regenerable")
        doomed.kill("n1")
        await doomed.fail_over()
        located = await db.locate(critical)
        assert located.timeline == 2
        assert located.lsn is not None
        assert (await db.locate(located)).timeline == 2
        with pytest.raises(outlive.CommitUnknownError, match="failover"):
            await db.locate(local)


async def test_whatever_commits_within_is_gathered(db: outlive.Cluster) -> None:
    """By `run`, a batch, a block and a single statement, in order; nothing of what follows."""
    with outlive.receipts() as made:
        await db.run(insert, 1)
        batched = await db.batch([(INSERT, [2])])
        async for tx in db.transaction(durability="regenerable"):
            async with tx:
                await insert(tx, 3)
        await db.execute(INSERT, 4)
    await db.run(insert, 5)
    assert len(made) == 4
    assert made[1] == batched
    assert made[2] == tx.receipt
    assert made[3].synchronous_standbys


async def test_a_row_of_a_writer_has_a_receipt_to_locate(db: outlive.Cluster) -> None:
    """It is of the commit that the row went with."""
    async with await db.writer("entries", ["id", "body"]) as writer:
        receipt = await writer.append(1, "x")
    assert (await db.locate(receipt)).lsn is not None

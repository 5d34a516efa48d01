"""The synchronous face: the same client, from threads without a loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import outlive
import outlive.sync
from conditions import eventually
from integration.client.waiting import in_force
from integration.conftest import RunningCluster
from outlive.stores import migrate
from outlive.sync import SyncCluster, SyncTransaction


@pytest.fixture
def db(cluster: RunningCluster) -> Iterator[SyncCluster]:
    """A client and an empty table."""
    with outlive.sync.connect(cluster.dsn) as db:
        made = "DROP TABLE IF EXISTS synchronous; CREATE TABLE synchronous (number int PRIMARY KEY)"
        db.execute(made, idempotent=True)
        yield db


def test_reads_and_writes(db: SyncCluster) -> None:
    """What is executed is there to be fetched."""
    assert db.execute("INSERT INTO synchronous VALUES (1)") == "INSERT 0 1"
    assert db.fetchval("SELECT number FROM synchronous", read="strong") == 1
    assert [row["number"] for row in db.fetch("SELECT number FROM synchronous", read="strong")] == [1]
    assert db.wait_primary().address in {node.address for node in db.topology.nodes}


def test_many_rows_at_once(db: SyncCluster) -> None:
    """Rows by `executemany` and by COPY, each all or nothing."""
    db.executemany("INSERT INTO synchronous VALUES ($1)", [(1,), (2,)])
    assert db.copy_records_to_table("synchronous", records=[(3,), (4,)]) == "COPY 2"
    with pytest.raises(asyncpg.UniqueViolationError):
        db.copy_records_to_table("synchronous", records=[(5,), (1,)])
    assert db.fetchval("SELECT array_agg(number ORDER BY number) FROM synchronous", read="strong") == [1, 2, 3, 4]


def test_threads_share_a_writers_commits(db: SyncCluster) -> None:
    """Each row has the receipt of the commit that it went with, and a bad one fails alone."""
    with db.writer("synchronous", ["number"]) as writer, ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(writer.append, range(40)))
        with pytest.raises(asyncpg.UniqueViolationError):
            writer.append(7)
    assert all(receipt.synchronous_standbys for receipt in receipts)
    assert db.fetchval("SELECT count(*) FROM synchronous", read="strong") == 40


def test_closing_a_writer_waits_no_longer_than_it_is_told(db: SyncCluster) -> None:
    """A row that has no answer by then fails in its caller, who is told that it may have been applied."""
    writer = db.writer("synchronous", ["number"])
    for tx in db.transaction():
        with tx, ThreadPoolExecutor(1) as threads:
            tx.execute("LOCK TABLE synchronous IN ACCESS EXCLUSIVE MODE")
            appending = threads.submit(writer.append, 1)
            eventually(lambda: db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted", read="strong"))
            writer.close(timeout=0.1)
            with pytest.raises(outlive.CommitUnknownError):
                appending.result(60)


def test_a_tables_content_is_copied_out_and_in(db: SyncCluster, tmp_path: Path) -> None:
    """By a query, by a table's name, and back from a file."""
    db.executemany("INSERT INTO synchronous VALUES ($1)", [(1,), (2,)])
    for tx in db.transaction():
        with tx:
            tx.copy_from_query("SELECT number + $1 FROM synchronous", 10, output=tmp_path / "query")
            tx.copy_from_table("synchronous", output=tmp_path / "table")
            tx.copy_to_table("synchronous", source=tmp_path / "query")
    assert (tmp_path / "table").read_text() == "1\n2\n"
    assert db.fetchval("SELECT array_agg(number ORDER BY number) FROM synchronous", read="strong") == [1, 2, 11, 12]


def test_a_token_carries_a_session_to_another_client(db: SyncCluster, cluster: RunningCluster) -> None:
    """Another client with the token reads what this one wrote."""
    db.execute("INSERT INTO synchronous VALUES (1)")
    with outlive.sync.connect(cluster.dsn, session=db.session.token()) as other:
        assert other.fetchval("SELECT count(*) FROM synchronous") == 1


def test_a_transaction_commits_and_gives_a_receipt(db: SyncCluster) -> None:
    """The loop form commits once and says what the commit got."""
    eventually(lambda: len(in_force(db.asynchronous) or ()) == 2)
    for tx in db.transaction():
        with tx:
            tx.execute("INSERT INTO synchronous VALUES (1)")
            tx.executemany("INSERT INTO synchronous VALUES ($1)", [(2,), (3,)])
    assert tx.receipt is not None
    assert len(tx.receipt.synchronous_standbys) == 2
    assert db.fetchval("SELECT count(*) FROM synchronous", read="strong") == 3


def test_an_error_rolls_back_and_passes_through(db: SyncCluster) -> None:
    """The caller's own error undoes the transaction and reaches the caller."""
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the loop is what is tested
        for tx in db.transaction():
            with tx:
                tx.execute("INSERT INTO synchronous VALUES (1)")
                1 / 0  # noqa: B018
    with pytest.raises(asyncpg.UniqueViolationError):
        db.run(_twice)
    assert db.fetchval("SELECT count(*) FROM synchronous", read="strong") == 0


def _twice(tx: SyncTransaction) -> None:
    tx.execute("INSERT INTO synchronous VALUES (1)")
    tx.execute("INSERT INTO synchronous VALUES (1)")


def test_run_works_in_the_calling_thread(db: SyncCluster) -> None:
    """`run` calls the function where it was called, and again after a conflict."""
    seen: list[threading.Thread] = []

    def insert(tx: SyncTransaction, number: int) -> int:
        seen.append(threading.current_thread())
        tx.execute("INSERT INTO synchronous VALUES ($1)", number)
        if len(seen) == 1:
            tx.execute("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$")
        return number

    assert db.run(insert, 7) == 7
    assert seen == [threading.current_thread()] * 2
    assert db.fetchval("SELECT count(*) FROM synchronous", read="strong") == 1


async def test_a_keys_request_is_the_same_in_both_faces(db: SyncCluster, cluster: RunningCluster) -> None:
    """A part of a function is told from another part of it, and either face replays what the other one did."""
    key = outlive.new_key()
    await migrate(cluster.dsn)
    assert db.run(partial(_added, to=1), 2, key=key) == 3
    with pytest.raises(outlive.KeyReusedError):
        db.run(partial(_added, to=5), 2, key=key)
    async with outlive.connect(cluster.dsn) as asynchronous:
        assert await asynchronous.run(partial(_added, to=1), 2, key=key) == 3


def _added(_: object, number: int, *, to: int) -> Any:
    return number + to


def test_many_threads_share_a_client(db: SyncCluster) -> None:
    """Threads use one client side by side."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: db.execute("INSERT INTO synchronous VALUES ($1)", number), range(100)))
    assert db.fetchval("SELECT count(*) FROM synchronous", read="strong") == 100


def test_after_close_a_call_is_refused_and_no_thread_is_left(cluster: RunningCluster) -> None:
    """Closing ends the loop's thread; a later call says that the client was closed."""
    with outlive.sync.connect(cluster.dsn) as db:
        assert db.fetchval("SELECT 1") == 1
    db.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "outlive"]
    with pytest.raises(outlive.ConfigurationError, match="was closed"):
        db.fetchval("SELECT 1")

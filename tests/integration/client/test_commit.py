"""What becomes of a COMMIT whose answer is lost, late or hollow."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

import outlive
from integration.client.servers import STANDBYS, Servers
from integration.client.waiting import until
from outlive.testing import FaultProxy
from outlive.testing.proxy import Where

OVERDUE_TRIES = 10


@pytest.fixture
async def proxied(servers: Servers, proxy: FaultProxy, db: outlive.Cluster) -> AsyncIterator[outlive.Cluster]:
    """A client that reaches the primary through the proxy; the table `entries` is empty."""
    assert db.topology.nodes
    dsn = servers.dsn().replace(str(servers.ports["n1"]), str(proxy.port))
    async with outlive.connect(dsn) as client:
        yield client


@pytest.fixture
async def frozen_standbys(servers: Servers, db: outlive.Cluster) -> AsyncIterator[Servers]:
    """Both standbys stand still, so that a COMMIT waits for them."""
    assert db.topology.nodes
    for name in STANDBYS:
        servers.freeze(name)
    yield servers
    for name in STANDBYS:
        servers.thaw(name)


async def insert(tx: outlive.Transaction, key: int) -> None:
    """Say the same thing however often it is said."""
    await tx.execute("insert into entries values ($1, 'x') on conflict do nothing", key)


async def keys(db: outlive.Cluster) -> list[int]:
    """The keys that the primary has."""
    return [row["id"] for row in await db.fetch("select id from entries order by id", read="strong")]


async def committing(servers: Servers) -> bool:
    """Whether a session waits for a standby in its COMMIT."""
    waits = "select count(*) > 0 from pg_stat_activity where wait_event = 'SyncRep'"
    return bool(await servers.sql("n1", waits))


@pytest.mark.parametrize(("cut", "applied"), [("before", []), ("after", [1])])
async def test_a_lost_commit_is_unknown(
    proxied: outlive.Cluster, db: outlive.Cluster, proxy: FaultProxy, cut: Where, applied: list[int]
) -> None:
    """The client can't tell a COMMIT that was lost on its way from one whose answer was, and says so."""
    proxy.cut_commit(cut)
    with pytest.raises(outlive.CommitUnknownError) as raised:
        await proxied.run(insert, 1)
    assert raised.value.outcome is outlive.Outcome.UNKNOWN
    proxy.heal()
    await until(lambda: _equal(db, applied))


async def _equal(db: outlive.Cluster, expected: list[int]) -> bool:
    return await keys(db) == expected


async def test_a_lost_commit_of_a_block_is_raised_and_the_block_is_not_run_again(
    proxied: outlive.Cluster, proxy: FaultProxy
) -> None:
    """The loop form never repeats a block whose COMMIT went out."""
    proxy.cut_commit("after")
    runs = 0

    async def block() -> None:
        nonlocal runs
        async for tx in proxied.transaction():
            async with tx:
                runs += 1
                await insert(tx, 1)

    with pytest.raises(outlive.CommitUnknownError):
        await block()
    assert runs == 1


async def test_idempotent_runs_survive_cut_commits(proxied: outlive.Cluster, proxy: FaultProxy) -> None:
    """With four COMMITs of ten cut, before or after the server got them, every run ends applied, without an error."""
    proxy.cut_commit("before", probability=0.2)
    proxy.cut_commit("after", probability=0.25)

    async def worker(number: int) -> None:
        for key in range(number * 25, number * 25 + 25):
            await proxied.run(insert, key, idempotent=True)

    await asyncio.gather(*(worker(number) for number in range(8)))
    proxy.heal()
    assert await keys(proxied) == list(range(200))
    assert {"before", "after"} <= set(proxy.cuts)


async def test_a_commit_past_its_deadline_is_unknown(db: outlive.Cluster, frozen_standbys: Servers) -> None:
    """The connection is aborted at the deadline, without a CancelRequest: the row appears once a standby has it."""
    error = await _overdue(db)
    assert isinstance(error, outlive.CommitUnknownError)
    assert "deadline" in str(error)
    for name in STANDBYS:
        frozen_standbys.thaw(name)
    await until(lambda: _equal(db, [1]))


async def _overdue(db: outlive.Cluster) -> outlive.OutliveError:
    """How a run fails whose COMMIT waits; tried again where its time was over before COMMIT was sent."""
    for _ in range(OVERDUE_TRIES):
        with pytest.raises((outlive.CommitUnknownError, outlive.RetryBudgetExceededError)) as raised:
            await db.run(insert, 1, timeout=0.5)
        if isinstance(raised.value, outlive.CommitUnknownError):
            break
        assert raised.value.outcome is outlive.Outcome.NOT_APPLIED
    return raised.value


async def test_a_cancelled_wait_for_the_standby_is_no_acknowledgement(
    db: outlive.Cluster, frozen_standbys: Servers
) -> None:
    """PostgreSQL says COMMIT with only a warning; the client says that it does not know."""
    running = asyncio.create_task(db.run(insert, 1))
    await until(lambda: committing(frozen_standbys))
    cancel = "select bool_or(pg_cancel_backend(pid)) from pg_stat_activity where wait_event = 'SyncRep'"
    assert await frozen_standbys.sql("n1", cancel)
    with pytest.raises(outlive.CommitUnknownError, match="synchronous standby"):
        await running


async def test_a_cancelled_wait_is_heard_after_a_single_statement_too(
    db: outlive.Cluster, frozen_standbys: Servers
) -> None:
    """An autocommitted statement is acknowledged by no less than a transaction."""
    running = asyncio.create_task(db.execute("insert into entries values (1, 'a')"))
    await until(lambda: committing(frozen_standbys))
    cancel = "select bool_or(pg_cancel_backend(pid)) from pg_stat_activity where wait_event = 'SyncRep'"
    assert await frozen_standbys.sql("n1", cancel)
    with pytest.raises(outlive.CommitUnknownError, match="synchronous standby"):
        await running


async def test_cancelling_the_task_waits_for_the_commit(db: outlive.Cluster, frozen_standbys: Servers) -> None:
    """A task cancelled in its COMMIT learns the outcome first: no CancelRequest, and the commit stands."""
    running = asyncio.create_task(db.run(insert, 1))
    await until(lambda: committing(frozen_standbys))
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=0.3)
    assert not done
    for name in STANDBYS:
        frozen_standbys.thaw(name)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await keys(db) == [1]


async def test_cancelling_the_task_before_the_commit_applies_nothing(db: outlive.Cluster) -> None:
    """A task cancelled in its block rolls back at once."""
    inserted = asyncio.Event()

    async def stall(tx: outlive.Transaction) -> None:
        await insert(tx, 1)
        inserted.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(db.run(stall))
    await inserted.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await keys(db) == []


async def test_a_regenerable_commit_waits_for_no_standby(db: outlive.Cluster, frozen_standbys: Servers) -> None:
    """The class `regenerable` is acknowledged by the primary's disk alone."""
    assert frozen_standbys.pids("n2")
    await db.run(insert, 1, durability="regenerable", timeout=20)
    assert await keys(db) == [1]


async def test_every_outcome_is_true_whenever_the_wire_is_cut(proxied: outlive.Cluster, proxy: FaultProxy) -> None:
    """Under cuts at random moments: what was acknowledged is there, what was refused is not."""
    random = Random(18)
    told: dict[outlive.Outcome, set[int]] = {outcome: set() for outcome in outlive.Outcome}

    async def worker(number: int) -> None:
        for key in range(number * 60, number * 60 + 60):
            try:
                await _WAYS[key % len(_WAYS)](proxied, key)
            except outlive.OutliveError as error:
                told[error.outcome].add(key)
            else:
                told[outlive.Outcome.APPLIED].add(key)

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(worker(number)) for number in range(8)]
        while not all(done.done() for done in workers):
            # Some have to end between two cuts: on a slow machine none would come through otherwise.
            wanted = min(480, sum(map(len, told.values())) + random.randrange(8))
            await until(lambda wanted=wanted: sum(map(len, told.values())) >= wanted, 120)  # type: ignore[misc]
            await asyncio.wait(workers, timeout=random.uniform(0.0, 0.05))
            proxy.cut(0.5)
    there = set(await keys(proxied))
    assert told[outlive.Outcome.APPLIED] <= there
    assert not told[outlive.Outcome.NOT_APPLIED] & there
    assert sum(map(len, told.values())) == 480


async def _by_block(db: outlive.Cluster, key: int) -> None:
    async for tx in db.transaction(timeout=20):
        async with tx:
            await tx.execute("insert into entries values ($1, 'x')", key)


async def _by_function(db: outlive.Cluster, key: int) -> None:
    await db.run(insert, key, timeout=20)


async def _by_statement(db: outlive.Cluster, key: int) -> None:
    await db.execute("insert into entries values ($1, 'x')", key, timeout=20)


_WAYS = (_by_block, _by_function, _by_statement)

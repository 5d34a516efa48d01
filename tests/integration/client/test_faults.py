"""What a program sees when servers die, freeze, come back old, or quarrel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import asyncpg
import pytest

import outlive
from integration.client.servers import STANDBYS, Servers
from integration.client.waiting import all_known, in_force, until, waited
from outlive.client.plan.begin import FENCE, begin_message
from outlive.model.lsn import Timeline


@dataclass
class Load:
    """Writers that keep a ledger of what was acknowledged to them, outside the database."""

    db: outlive.Cluster
    acknowledged: set[int] = field(default_factory=set)
    unknown: int = 0
    refused: int = 0
    gap_s: float = 0.0
    stopped: bool = False

    async def write(self, writer: int) -> None:
        """Insert one key after the other until stopped."""
        key, last = writer * 1_000_000, time.monotonic()
        while not self.stopped:
            key += 1
            try:
                async for tx in self.db.transaction(timeout=120):
                    async with tx:
                        await tx.execute("insert into entries values ($1, 'x')", key)
            except outlive.OutliveError as error:
                # A block that has ended is not run again: what is left is whether its COMMIT went out.
                self.unknown += error.outcome is outlive.Outcome.UNKNOWN
                self.refused += error.outcome is outlive.Outcome.NOT_APPLIED
            else:
                self.acknowledged.add(key)
            self.gap_s, last = max(self.gap_s, time.monotonic() - last), time.monotonic()

    async def more(self, count: int) -> None:
        """Wait until `count` further writes were acknowledged."""
        wanted = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= wanted, 120)


@asynccontextmanager
async def load_on(servers: Servers, writers: int = 4) -> AsyncIterator[Load]:
    """Writers at work on these servers for as long as the block lasts; then nothing acknowledged may be missing."""
    async with outlive.connect(servers.dsn()) as db:
        await db.execute("create table entries (id bigint primary key, body text)")
        load = Load(db)
        async with asyncio.TaskGroup() as group:
            for writer in range(writers):
                group.create_task(load.write(writer))
            await load.more(200)
            yield load
            load.stopped = True
        found = {row["id"] for row in await db.fetch("select id from entries", read="strong")}
        counts = f"acknowledged {len(load.acknowledged)}, unknown {load.unknown}, refused {load.refused}"
        print(f"{counts}, gap {load.gap_s:.2f} s")  # noqa: T201
        assert load.acknowledged <= found


async def test_a_killed_primary_costs_nothing_acknowledged(doomed: Servers) -> None:
    """Writers go on at the promoted standby; nothing acknowledged is missing there."""
    async with load_on(doomed) as load:
        doomed.kill("n1")
        await doomed.fail_over()
        await load.more(200)
        assert load.unknown + load.refused <= 4


async def test_a_frozen_primary_is_noticed_within_its_deadline(doomed: Servers) -> None:
    """A primary that stands still fails its callers in about a second, not when TCP gives up."""
    async with outlive.connect(doomed.dsn()) as db, db.connection() as connection:
        await connection.execute("select 1")
        doomed.freeze("n1")
        async with waited() as told:
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
                await connection.execute("select 1")
        silent = [silence.address.port for silence in db.topology.silent]
    assert doomed.ports["n1"] in silent
    assert told.seconds < 3.0


async def test_a_thawed_old_primary_gets_no_write(doomed: Servers) -> None:
    """After a freeze, a promotion and a thaw there are two primaries; only the newer one is written to."""
    async with load_on(doomed) as load:
        doomed.freeze("n1")
        successor = await doomed.fail_over()
        await load.more(100)
        doomed.thaw("n1")
        await until(lambda: len(load.db.topology.nodes) == 3)
        await load.more(100)
        assert (await load.db.wait_primary()).timeline == 2
    old = await doomed.sql("n1", "select count(*) from entries")
    new = await doomed.sql(successor, "select count(*) from entries")
    assert isinstance(old, int)
    assert isinstance(new, int)
    assert new >= old + 200 - 8


async def test_a_session_open_on_an_old_primary_gets_no_acknowledgement(doomed: Servers) -> None:
    """It was open before the freeze and writes after the thaw: its COMMIT waits for a standby that follows another."""
    async with load_on(doomed, writers=1) as load:
        old = await doomed.session("n1")
        doomed.freeze("n1")
        await doomed.fail_over()
        await load.more(20)
        doomed.thaw("n1")
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(_attempted(old, "insert into entries values (-1, 'zombie')"))
            await until(lambda: _waits_for_a_standby(doomed))
            assert not writing.done()
            old.terminate()
        assert await load.db.fetchval("select count(*) from entries where id = -1", read="strong") == 0


async def _attempted(session: asyncpg.Connection, sql: str) -> None:
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await session.execute(sql)


async def _waits_for_a_standby(servers: Servers) -> bool:
    waits = "select count(*) > 0 from pg_stat_activity where wait_event = 'SyncRep' and query like '%zombie%'"
    return bool(await servers.sql("n1", waits))


async def test_an_old_primary_refuses_a_transaction_that_knows_better(servers: Servers) -> None:
    """The fence stops a write on a node below the known timeline, on the server, in the first message."""
    async with outlive.connect(servers.dsn()) as db, db.connection() as connection:
        with pytest.raises(asyncpg.InvalidTextRepresentationError, match=f"{FENCE}timeline 00000001"):
            await connection.execute(begin_message("on", Timeline(2), None, None))


async def test_a_standby_refuses_a_write_transaction(servers: Servers) -> None:
    """The fence stops a write on a node in recovery, on the server, in the first message."""
    connection = await asyncpg.connect(servers.dsn(names=("n2",)))
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError):
        await connection.execute(begin_message("on", Timeline(1), None, None))
    await connection.close()


async def test_a_demoted_primary_is_left_at_once(doomed: Servers) -> None:
    """A planned switchover is ridden out: the block is run again on the new primary, and nothing is raised."""
    async with outlive.connect(doomed.dsn()) as db:
        await db.execute("create table entries (id bigint primary key, body text)")
        doomed.stop("n1", "fast")
        running = asyncio.create_task(db.run(_insert, 1, timeout=120))
        await asyncio.to_thread(doomed.promote, "n2")
        await doomed.follow_live("n3", "n2")
        await doomed.configure("n2", synchronous_standby_names="ANY 1 (n3)")
        await running
        assert await db.fetchval("select count(*) from entries", read="strong") == 1


async def test_critical_writes_are_refused_without_a_standby(doomed: Servers) -> None:
    """With both standbys dead nothing critical is acknowledged; what may be lost is, and so is what was allowed."""
    async with outlive.connect(doomed.dsn()) as db, outlive.connect(doomed.dsn(), degraded="allow") as lenient:
        await db.execute("create table entries (id bigint primary key, body text)")
        for name in STANDBYS:
            doomed.kill(name)
        await until(lambda: in_force(db) == in_force(lenient) == ())
        with pytest.raises(outlive.DurabilityNotMetError) as raised:
            await db.run(_insert, 1, timeout=1)
        assert raised.value.outcome is outlive.Outcome.NOT_APPLIED
        await db.run(_insert, 2, durability="regenerable")
        async for tx in lenient.transaction():
            async with tx:
                await _insert(tx, 3)
        assert tx.receipt is not None
        assert tx.receipt.synchronous_standbys == ()
        assert await db.fetchval("select array_agg(id order by id) from entries", read="strong") == [2, 3]


@pytest.mark.parametrize("names", ["", "*", "ANY 1 (*)"])
async def test_a_setting_that_nobody_has_to_satisfy_is_no_standby_in_force(
    servers: Servers, db: outlive.Cluster, names: str
) -> None:
    """An empty list, or one that any replication client satisfies, does not count as synchronous."""
    await servers.configure("n1", synchronous_standby_names=names)
    try:
        await until(lambda: in_force(db) == ())
        with pytest.raises(outlive.DurabilityNotMetError):
            await db.run(_insert, 1, timeout=0.7)
    finally:
        await servers.configure("n1", synchronous_standby_names="ANY 1 (n2,n3)")
    await db.run(_insert, 1)
    await until(lambda: in_force(db) == STANDBYS)


async def test_two_primaries_on_one_timeline_are_refused(doomed: Servers) -> None:
    """Split brain is an error that names both nodes; the client does not choose."""
    async with outlive.connect(doomed.dsn()) as db:
        doomed.kill("n1")
        for name in STANDBYS:
            await asyncio.to_thread(doomed.promote, name)
        expected = " and ".join(f"127.0.0.1:{port}" for port in sorted(doomed.ports[name] for name in STANDBYS))
        await until(lambda: sum(node.timeline == 2 for node in db.topology.nodes) == 2)
        with pytest.raises(outlive.SplitBrainError, match=expected):
            await db.execute("create table entries (id bigint)")


async def test_a_node_of_another_cluster_is_refused(servers: Servers, stranger: Servers) -> None:
    """A DSN that mixes two clusters is refused at the start, and names the stranger."""
    port = stranger.ports["n1"]
    dsn = servers.dsn().replace("@", f"@127.0.0.1:{port},", 1)
    with pytest.raises(outlive.ConfigurationError, match="another cluster") as raised:
        await outlive.connect(dsn).start()
    assert "127.0.0.1:" in str(raised.value)


async def test_no_primary_is_an_error_that_names_every_node(doomed: Servers) -> None:
    """With the primary dead and nobody promoted, a write waits for its deadline and says what each node is."""
    async with outlive.connect(doomed.dsn()) as db:
        doomed.kill("n1")
        await until(lambda: db.primary is None)
        with pytest.raises(outlive.UnavailableError) as raised:
            await db.execute("create table entries (id bigint)", timeout=1)
        assert raised.value.outcome is outlive.Outcome.NOT_APPLIED
        assert all(str(port) in str(raised.value) for port in doomed.ports.values())


async def test_reads_go_on_while_there_is_no_primary(doomed: Servers) -> None:
    """Standbys serve eventual reads within the bound of lag, primary or not."""
    async with outlive.connect(doomed.dsn(), max_lag=600) as db:
        await all_known(db)
        doomed.kill("n1")
        await until(lambda: db.primary is None)
        assert await db.fetchval("select 1") == 1


async def _insert(tx: outlive.Transaction, key: int) -> None:
    await tx.execute("insert into entries values ($1, 'x') on conflict do nothing", key)

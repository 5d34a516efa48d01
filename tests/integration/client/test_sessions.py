"""What reads see: a session its own writes, another process what a token says, a proof what no old primary has."""

from __future__ import annotations

import asyncio

import pytest

import outlive
from integration.client.servers import STANDBYS, Servers
from integration.client.waiting import all_known, until
from outlive.model.freshness import Session
from outlive.model.topology import Address, Role

PAUSE = "select pg_wal_replay_pause()"
RESUME = "select pg_wal_replay_resume()"
PORT = "select inet_server_port()"


async def settled(db: outlive.Cluster) -> None:
    """Return once a standby serves the session's reads again: the session is silent until it is known to."""

    def standbys() -> set[Address]:
        return {node.address for node in db.topology.nodes if node.role is Role.STANDBY}

    await until(lambda: db._running().reader(Session()) in standbys())
    assert await db.fetchval(PORT) in {address.port for address in standbys()}


async def test_a_session_reads_its_own_writes_at_once(db: outlive.Cluster) -> None:
    """Whatever was written is there in the next read, without a word about freshness."""
    for key in range(200):
        await db.execute("insert into entries values ($1, 'a')", key)
        assert await db.fetchval("select count(*) from entries") == key + 1


async def test_a_session_that_is_quiet_reads_from_one_standby(db: outlive.Cluster) -> None:
    """Once a standby is known to have all that was written, it serves, and goes on serving."""
    await db.execute("insert into entries values (1, 'a')")
    await settled(db)
    assert len({await db.fetchval(PORT) for _ in range(20)}) == 1
    assert await db.fetchval("select count(*) from entries") == 1


async def test_a_standby_that_lacks_a_write_does_not_serve_it(doomed: Servers) -> None:
    """While replay is paused everywhere, a session's reads go to the primary; eventual ones don't."""
    async with outlive.connect(doomed.dsn(), max_lag=600) as db:
        await db.execute("create table entries (id int)")
        await settled(db)
        await _pause(doomed, *STANDBYS)
        await db.execute("insert into entries values (1)")
        await asyncio.sleep(0.7)
        assert await db.fetchval("select count(*) from entries") == 1
        assert await db.fetchval("select count(*) from entries", read="eventual") == 0
        for name in STANDBYS:
            await doomed.sql(name, RESUME)
        await settled(db)


async def test_a_token_carries_a_session_to_another_client(doomed: Servers) -> None:
    """A client with another one's token reads what that one wrote, though a standby nearby does not have it yet."""
    async with outlive.connect(doomed.dsn()) as db, outlive.connect(doomed.dsn(), max_lag=600) as stranger:
        await db.execute("create table entries (id int)")
        await _pause(doomed, "n2")
        await all_known(stranger)
        await db.execute("insert into entries values (1)")
        token = await db.session.token()
        counts = [await stranger.fetchval("select count(*) from entries", read="eventual") for _ in range(4)]
        assert 0 in counts
        async with outlive.connect(doomed.dsn(), session=token) as other:
            for _ in range(10):
                assert await other.fetchval("select count(*) from entries") == 1
            await settled(other)
            assert await other.fetchval(PORT) == doomed.ports["n3"]


async def test_a_token_of_another_cluster_is_refused(db: outlive.Cluster, stranger: Servers) -> None:
    """A session can't go on where its writes never were."""
    token = await db.session.token()
    with pytest.raises(outlive.ConfigurationError, match="another cluster") as raised:
        await outlive.connect(stranger.dsn(names=("n1",)), session=token)
    assert "session token" in raised.value.hint


async def test_a_token_bars_the_way_to_an_old_primary(doomed: Servers) -> None:
    """Who has seen timeline 2 writes nothing to a primary on timeline 1, even as the first thing it does."""
    doomed.freeze("n1")
    await asyncio.to_thread(doomed.promote, "n2")
    await doomed.configure("n2", synchronous_standby_names="")
    async with outlive.connect(doomed.dsn(names=("n2",)), degraded="allow") as db:
        token = await db.session.token()
    doomed.stop("n3")
    doomed.thaw("n1")
    async with outlive.connect(doomed.dsn(names=("n1",)), session=token) as late:
        with pytest.raises(outlive.NoPrimaryError, match="old primary on timeline 1"):
            await late.fetchval("select 1", read="strong", timeout=1)


async def test_a_bounded_read_is_refused_to_a_standby_that_is_behind(doomed: Servers) -> None:
    """Within the bound a standby serves; behind it, the primary."""
    async with outlive.connect(doomed.dsn()) as db:
        await db.execute("create table entries (id int)")
        await settled(db)
        await _pause(doomed, *STANDBYS)
        await db.execute("insert into entries values (1)")
        await asyncio.sleep(1.0)
        assert await db.fetchval("select count(*) from entries", read=outlive.bounded(0.9)) == 1
        assert await db.fetchval("select count(*) from entries", read=outlive.bounded(600)) == 0


async def test_reads_prefer_their_region(servers: Servers) -> None:
    """The standby of the caller's region serves what may be served by a standby."""
    regions = {f"127.0.0.1:{servers.ports[name]}": place for name, place in (("n1", "us"), ("n2", "us"), ("n3", "eu"))}
    async with outlive.connect(servers.dsn(), region="eu", regions=regions) as db:
        await all_known(db)
        for read in ("eventual", "session", outlive.bounded(5)):
            assert {await db.fetchval(PORT, read=read) for _ in range(4)} == {servers.ports["n3"]}


async def test_a_linearizable_read_is_answered_by_a_primary_with_its_standby(db: outlive.Cluster) -> None:
    """It gives what a strong read gives."""
    await db.execute("insert into entries values (1, 'a')")
    assert await db.fetchval("select body from entries where id = $1", 1, read="strong", linearizable=True) == "a"


async def test_one_connection_is_enough_for_a_linearizable_read(servers: Servers) -> None:
    """The read and its proof take turns where the pool has no room for both."""
    async with outlive.connect(servers.dsn(), pool_size=1) as db:
        read = db.fetchval("select 1", read="strong", linearizable=True)
        assert await read == 1


async def _pause(servers: Servers, *names: str) -> None:
    """Pause the replay of standbys, once they have the table: one alone may have confirmed it."""
    for name in names:
        await until(lambda name=name: _has_entries(servers, name))  # type: ignore[misc]
        await servers.sql(name, PAUSE)


async def _has_entries(servers: Servers, name: str) -> bool:
    return await servers.sql(name, "select to_regclass('entries') is not null") is True


async def test_a_linearizable_read_never_answers_from_an_old_primary(doomed: Servers) -> None:
    """Cut off and replaced, the old primary still answers strong reads, with the past; not linearizable ones."""
    async with outlive.connect(doomed.dsn()) as db:
        await db.execute("create table entries (id int)")
    async with outlive.connect(doomed.dsn(names=("n1",))) as cut_off:
        doomed.freeze("n1")
        new = await doomed.fail_over()
        await doomed.sql(new, "insert into entries values (1)", "select 1")
        doomed.thaw("n1")
        await cut_off.wait_primary()
        assert await cut_off.fetchval("select count(*) from entries", read="strong") == 0
        with pytest.raises((outlive.TransactionError, outlive.UnavailableError)) as raised:
            await cut_off.fetchval("select count(*) from entries", read="strong", linearizable=True, timeout=2)
        assert raised.value.outcome is outlive.Outcome.NOT_APPLIED
    async with outlive.connect(doomed.dsn()) as db:
        assert await db.fetchval("select count(*) from entries", read="strong", linearizable=True) == 1

"""What is bounded, what is refused, and what is left after the end."""

import asyncio
import gc
from pathlib import Path

import pytest

import outlive
from integration.client.servers import Servers
from integration.client.waiting import until
from outlive.testing import FaultProxy


async def test_a_full_pool_refuses_at_the_deadline(db: outlive.Cluster, servers: Servers) -> None:
    """The third caller of two connections waits until its deadline, then gets PoolTimeoutError."""
    assert db.topology.nodes
    async with outlive.connect(servers.dsn(), pool_size=2) as small, small.connection(), small.connection():
        with pytest.raises(outlive.PoolTimeoutError):
            await small.execute("select 1", timeout=0.2)


async def test_a_waiting_caller_gets_the_connection_given_back(servers: Servers) -> None:
    """Sixteen callers share two connections, and all are served."""
    async with outlive.connect(servers.dsn(), pool_size=2) as small:
        pids = await asyncio.gather(*(small.fetchval("select pg_backend_pid()", read="strong") for _ in range(16)))
    assert len(set(pids)) <= 2


async def test_a_cancelled_waiter_takes_no_connection_with_it(servers: Servers) -> None:
    """After many cancelled waits the pool still serves."""
    async with outlive.connect(servers.dsn(), pool_size=1) as small:
        for _ in range(20):
            calls = [asyncio.create_task(small.fetchval("select 1", read="strong")) for _ in range(5)]
            await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
        assert await small.fetchval("select 1", read="strong") == 1


async def test_use_after_close_is_refused(servers: Servers) -> None:
    """A closed client says so, by a typed error."""
    client = await outlive.connect(servers.dsn())
    await client.close()
    await client.close()
    for use in (client.fetch("select 1"), client.execute("select 1"), client.wait_primary()):
        with pytest.raises(outlive.ConfigurationError, match="closed"):
            await use


async def test_a_call_that_outlasts_the_client_ends_with_it(stranger: Servers) -> None:
    """A write that waits for a standby fails when the client is closed, and opens nothing afterwards."""
    client = await outlive.connect(stranger.dsn(names=("n1",)))
    waiting = asyncio.create_task(client.execute("select 1"))
    await asyncio.sleep(0)
    await client.close()
    done, _ = await asyncio.wait([waiting], timeout=10)
    assert done
    assert isinstance(waiting.exception(), outlive.ConfigurationError)


async def test_close_lets_a_transaction_under_way_finish(db: outlive.Cluster, servers: Servers) -> None:
    """What had its connection when the client was closed commits."""
    client = await outlive.connect(servers.dsn())
    begun = asyncio.Event()

    async def insert(tx: outlive.Transaction) -> None:
        begun.set()
        await tx.execute("insert into entries select 1, pg_sleep(0.2)::text")

    running = asyncio.create_task(client.run(insert))
    await begun.wait()
    await client.close()
    await running
    assert await db.fetchval("select count(*) from entries", read="strong") == 1


async def test_use_before_start_is_refused() -> None:
    """A client that was never started says so."""
    with pytest.raises(outlive.ConfigurationError, match="not started"):
        await outlive.connect("postgresql://u@127.0.0.1/db").fetch("select 1")


async def test_a_wrong_password_is_one_sentence(servers: Servers) -> None:
    """A login that every node refuses ends the start, and the password stays out of the message."""
    with pytest.raises(outlive.ConfigurationError, match="password authentication failed") as raised:
        await outlive.connect(servers.dsn().replace("p%40ss", "wrong")).start()
    assert "wrong" not in str(raised.value)


async def test_a_login_that_one_node_refuses_later_is_one_sentence(servers: Servers) -> None:
    """A node that is too busy to answer at first does not hide what all of them say."""
    async with FaultProxy(servers.ports["n2"]) as busy:
        busy.freeze()
        dsn = (
            servers.dsn(names=("n1", "n2")).replace("p%40ss", "wrong").replace(str(servers.ports["n2"]), str(busy.port))
        )
        client = outlive.connect(dsn)
        starting = asyncio.create_task(client.start())
        await until(lambda: client._nodes is not None and len(client.topology.silent) == 2)
        busy.thaw()
        with pytest.raises(outlive.ConfigurationError, match="password authentication failed"):
            await starting


async def test_a_stranger_that_answers_late_is_named(servers: Servers) -> None:
    """A session of another cluster is refused as soon as the node says what it is, not once the start gives up."""
    async with FaultProxy(servers.ports["n1"]) as busy:
        busy.freeze()
        dsn = servers.dsn(names=("n1",)).replace(str(servers.ports["n1"]), str(busy.port))
        client = outlive.connect(dsn, session="1.1.0")
        starting = asyncio.create_task(client.start())
        await until(lambda: client._nodes is not None and len(client.topology.silent) == 1)
        busy.thaw()
        with pytest.raises(outlive.ConfigurationError, match="another cluster"):
            await starting


async def test_a_missing_database_is_one_sentence(servers: Servers) -> None:
    """A database that does not exist ends the start."""
    with pytest.raises(outlive.ConfigurationError, match='database "missing" does not exist'):
        await outlive.connect(servers.dsn(database="missing")).start()


async def test_a_dead_host_in_the_list_does_no_harm(servers: Servers) -> None:
    """A client starts and works with one host of its DSN down."""
    dsn = servers.dsn().replace("@", "@127.0.0.1:1,")
    async with outlive.connect(dsn) as client:
        assert await client.fetchval("select 1") == 1
        await until(lambda: [str(silence.address) for silence in client.topology.silent] == ["127.0.0.1:1"])


async def test_a_single_server_is_usable_once_it_is_accepted(stranger: Servers) -> None:
    """Without standbys critical writes are refused with the way out, which then works."""
    dsn = stranger.dsn(names=("n1",))
    async with outlive.connect(dsn) as strict:
        with pytest.raises(outlive.DurabilityNotMetError) as raised:
            await strict.execute("create table entries (id bigint)", timeout=0.5)
    assert 'degraded="allow"' in raised.value.hint
    async with outlive.connect(dsn, degraded="allow") as lenient:
        await lenient.execute("create table entries (id bigint)")
        async for tx in lenient.transaction():
            async with tx:
                await tx.execute("insert into entries values (1)")
        assert tx.receipt is not None
        assert tx.receipt.synchronous_standbys == ()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"read": "stong"}, "read can't be 'stong'"),
        ({"timeout": 0}, "timeout can't be 0"),
        ({"timeout": True}, "timeout can't be True"),
    ],
)
async def test_a_wrong_option_is_refused(db: outlive.Cluster, option: dict[str, object], message: str) -> None:
    """Options are checked before a connection is taken."""
    with pytest.raises(outlive.ConfigurationError, match=message):
        await db.fetch("select 1", **option)  # type: ignore[arg-type]


async def test_a_wrong_class_is_refused_by_its_nearest_name(db: outlive.Cluster) -> None:
    """A misspelt durability class names the right one."""
    with pytest.raises(outlive.ConfigurationError) as raised:
        db.transaction(durability="critcal")  # type: ignore[arg-type]
    assert raised.value.hint == "Did you mean 'critical'?"


async def test_nothing_is_left_after_close(servers: Servers) -> None:
    """After work, lost connections and close, tasks and file descriptors are back where they were."""
    async with outlive.connect(servers.dsn()) as client:
        await client.fetchval("select 1")
    gc.collect()
    before = _held()
    for _ in range(5):
        async with outlive.connect(servers.dsn()) as client:
            await asyncio.gather(*(client.fetchval("select 1") for _ in range(20)))
            await servers.sql(
                "n1",
                "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'outlive'",
            )
            await client.execute("select 1", idempotent=True)
    # What was still being closed at the first count may be gone at the last.
    await until(lambda: all(now <= then for now, then in zip(_held(), before, strict=True)))


def _held() -> tuple[int, int]:
    """How many tasks and file descriptors this process has."""
    return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))

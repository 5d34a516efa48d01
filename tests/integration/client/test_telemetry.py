"""What a client at work tells of itself."""

import asyncio
from time import monotonic

import asyncpg
import pytest

import outlive
from integration.client.servers import Servers
from integration.client.waiting import until
from outlive.telemetry.events import (
    AttemptFinished,
    AttemptStarted,
    DurabilityDegraded,
    Event,
    PoolWaited,
    PrimaryFound,
    PrimaryLost,
    TopologyChanged,
)
from outlive.testing import FaultProxy


def attempts(heard: list[Event]) -> list[AttemptFinished]:
    """The attempts that ended, in order; each one has begun."""
    finished = [event for event in heard if isinstance(event, AttemptFinished)]
    started = [event for event in heard if isinstance(event, AttemptStarted)]
    assert [event.attempt for event in started] == [event.attempt for event in finished]
    return finished


async def insert(tx: outlive.Transaction, key: int) -> None:
    """Say the same thing however often it is said."""
    await tx.execute("insert into entries values ($1, 'x') on conflict do nothing", key)


async def test_each_attempt_is_told_with_its_end(servers: Servers, db: outlive.Cluster) -> None:
    """A lost COMMIT and its repetition are two attempts, the first of unknown outcome."""
    heard: list[Event] = []
    assert db.primary is not None
    async with FaultProxy(servers.ports["n1"]) as proxy:
        dsn = servers.dsn().replace(str(servers.ports["n1"]), str(proxy.port))
        async with outlive.connect(dsn, telemetry=heard.append) as client:
            proxy.cut_commit("after", times=1)
            began = monotonic()
            await client.run(insert, 1, idempotent=True)
            took_s = monotonic() - began
    lost, done = attempts(heard)
    assert (lost.attempt, lost.phase, lost.kind, lost.outcome) == (1, "commit", "lost", outlive.Outcome.UNKNOWN)
    assert lost.retry_after_s is not None
    assert (done.attempt, done.failed, done.outcome) == (2, False, outlive.Outcome.APPLIED)
    assert done.node is not None
    assert 0 < done.duration_s <= took_s


async def test_every_way_to_call_is_told(servers: Servers, db: outlive.Cluster) -> None:
    """Reads, statements, blocks and connections end their attempts, the caller's own errors and cancellations too."""
    assert db.primary is not None
    heard: list[Event] = []
    async with outlive.connect(servers.dsn(), telemetry=[heard.append]) as client:
        await client.fetch("select 1")
        await client.execute("insert into entries values (1, 'x')")
        async for tx in client.transaction():
            async with tx:
                await insert(tx, 2)
        await client.fetchval("select 1", read="strong", linearizable=True)
        await client.batch([("insert into entries values ($1, 'x')", [3])])
        async with client.connection() as connection:
            await connection.execute("select 1")
        with pytest.raises(asyncpg.UniqueViolationError):
            await client.execute("insert into entries values (1, 'x')")
        sleeping = asyncio.create_task(client.execute("select pg_sleep(60)"))
        await until(lambda: sum(isinstance(event, AttemptStarted) for event in heard) == 8)
        sleeping.cancel()
        await asyncio.wait([sleeping])
    finished = attempts(heard)
    assert [event.failed for event in finished] == [False] * 6 + [True, True]
    assert [event.reason for event in finished[6:]] == ["UniqueViolationError", "the caller was cancelled"]


async def test_a_wait_for_a_connection_is_told(servers: Servers) -> None:
    """With one connection, the second caller waits."""
    heard: list[Event] = []
    async with outlive.connect(servers.dsn(), pool_size=1, telemetry=heard.append) as client:
        await asyncio.gather(*(client.fetch("select pg_sleep(0.05)", read="strong") for _ in range(2)))
    [waited] = [event for event in heard if isinstance(event, PoolWaited)]
    assert waited.served
    assert waited.waited_s > 0.01


async def test_a_failover_is_told(doomed: Servers) -> None:
    """The loss of the primary, the new one, and that no standby confirms its commits."""
    heard: list[Event] = []
    async with outlive.connect(doomed.dsn(), degraded="allow", telemetry=heard.append) as client:
        doomed.kill("n1")
        await until(lambda: client.primary is None)
        doomed.promote("n2")
        assert (await client.wait_primary()).address.port == doomed.ports["n2"]
    changes = [event for event in heard if isinstance(event, PrimaryFound | PrimaryLost)]
    assert [(type(event), event.node.port) for event in changes] == [
        (PrimaryFound, doomed.ports["n1"]),
        (PrimaryLost, doomed.ports["n1"]),
        (PrimaryFound, doomed.ports["n2"]),
    ]
    assert any(isinstance(event, DurabilityDegraded) for event in heard)
    assert any(isinstance(event, TopologyChanged) for event in heard)


async def test_callbacks_hear_of_a_lost_node_until_they_are_ended(doomed: Servers) -> None:
    """One that raises disturbs neither the client nor the others."""
    lost: list[int] = []
    ended: list[int] = []

    def broken(address: object, reason: str) -> None:
        raise ValueError(address, reason)

    async with outlive.connect(doomed.dsn(), degraded="allow") as client:
        client.on_node_lost(broken)
        client.on_node_lost(lambda address, _reason: lost.append(address.port))
        client.on_node_lost(lambda address, _reason: ended.append(address.port))()
        doomed.kill("n1")
        await until(lambda: doomed.ports["n1"] in lost)
    assert ended == []

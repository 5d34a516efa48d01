"""SQL probes and Patroni's REST API tell the same of a real cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

import outlive
from conformance.topology_source import Subject, TopologySourceConformance
from integration.conftest import RunningCluster
from outlive.adapters import patroni
from outlive.client import dsn as dsns
from outlive.client.probe import Probe
from outlive.client.source import Source, Watch
from outlive.client.wire import Dialer
from outlive.model.topology import Address

DEADLINE_S = 0.8


class Real(Subject):
    """The cluster that the tests share, under a source."""

    def __init__(self, running: RunningCluster, source: Callable[[RunningCluster], Source]) -> None:
        self._running = running
        self.addresses = dsns.parse(running.dsn).hosts
        self.source = source(running)

    async def write(self) -> None:
        """Commit a table."""
        async with outlive.connect(self._running.dsn) as db:
            await db.execute("create table if not exists topology_probe (id int)", idempotent=True)
            await db.execute("insert into topology_probe values (1)", idempotent=True)

    async def switch_over(self) -> None:
        """Hand the lead over as planned."""
        await self._running.local.switchover()

    async def freeze(self, address: Address) -> Callable[[], None]:
        """Stop Patroni and PostgreSQL of the node."""
        return self._running.local.freeze(self._name(address))

    def _name(self, address: Address) -> str:
        spec, _ = self._running.local.directory.load()
        return next(node.name for node in spec.nodes if node.ports.postgres == address.port)


def by_sql(running: RunningCluster) -> Source:
    """The default."""
    dialer = Dialer(dsns.parse(running.dsn), {})

    def watch(address: Address) -> Watch:
        return Probe(address, dialer, DEADLINE_S, lambda: 0.0)

    return watch


def by_rest(running: RunningCluster) -> Source:
    """Patroni's API of each node."""
    return patroni.topology(urls(running))


def urls(running: RunningCluster) -> dict[str, str]:
    """Each node's API by the node's address."""
    spec, _ = running.local.directory.load()
    return {
        str(Address(node.host, node.ports.postgres)): f"http://{node.host}:{node.ports.rest}"
        for node in spec.nodes
        if node.ports.postgres is not None
    }


@pytest.mark.parametrize("source", [by_sql, by_rest])
class TestRealTopology(TopologySourceConformance):
    """A real cluster, by either source."""

    @pytest.fixture
    def subject(self, whole_cluster: RunningCluster, source: Callable[[RunningCluster], Source]) -> Subject:
        """The whole cluster."""
        return Real(whole_cluster, source)


@pytest.fixture
async def by_patroni(whole_cluster: RunningCluster) -> AsyncIterator[outlive.Cluster]:
    """A client that asks Patroni."""
    async with outlive.connect(whole_cluster.dsn, topology=by_rest(whole_cluster)) as db:
        yield db


async def test_a_client_by_patroni_writes_and_reads(by_patroni: outlive.Cluster, whole_cluster: RunningCluster) -> None:
    """Critical writes, session reads and a switchover, with no probe by SQL at all."""
    await by_patroni.execute("create table if not exists by_patroni (id int primary key)", idempotent=True)
    for number in range(3):
        await by_patroni.run(_insert, number, idempotent=True, timeout=180)
        assert await by_patroni.fetchval("select count(*) from by_patroni") == number + 1
    await whole_cluster.local.switchover()
    await by_patroni.run(_insert, 3, idempotent=True, timeout=180)
    assert await by_patroni.fetchval("select count(*) from by_patroni", read="strong") == 4
    await by_patroni.execute("drop table by_patroni", idempotent=True)


async def _insert(tx: outlive.Transaction, number: int) -> None:
    await tx.execute("insert into by_patroni values ($1) on conflict do nothing", number)


def test_a_host_without_its_patroni_is_refused() -> None:
    """Half a topology is none."""
    with pytest.raises(outlive.ConfigurationError, match="no Patroni was named for h2:5432"):
        patroni.topology({"h1": "http://h1:8008"})(Address("h2", 5432))

"""Servers for the client's tests: one set for all that leave it whole, one of its own for each that breaks it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

import outlive
from integration.client.quiet import once
from integration.client.servers import Servers
from outlive.stores import migrate
from outlive.testing import FaultProxy


@contextmanager
def _made() -> Iterator[Servers]:
    with tempfile.TemporaryDirectory(prefix="outlive-client-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        root = Path(scratch) / "servers"
        root.mkdir(mode=0o700)
        made = Servers(root)
        try:
            yield made
        finally:
            made.destroy()


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """The data of a primary and two standbys, made once."""
    with _made() as made:
        made.create()
        yield made.root


@pytest.fixture(scope="session")
def servers(template: Path) -> Iterator[Servers]:
    """A primary and two synchronous standbys that no test breaks."""
    with _made() as made:
        made.start_copies(template)
        yield made


@pytest.fixture
def doomed(template: Path) -> Iterator[Servers]:
    """A primary and two synchronous standbys for one test to break."""
    with _made() as made:
        made.start_copies(template)
        yield made


@pytest.fixture
def stranger() -> Iterator[Servers]:
    """A single server of another cluster."""
    with _made() as made:
        made.create_alone()
        yield made


@pytest.fixture
async def db(servers: Servers) -> AsyncIterator[outlive.Cluster]:
    """A client of the whole servers, with an empty table `entries`."""
    async with outlive.connect(servers.dsn()) as client:
        made = "drop table if exists entries; create table entries (id bigint primary key, body text)"
        await client.execute(made, idempotent=True)
        yield client


@pytest.fixture
async def keyed(db: outlive.Cluster) -> outlive.Cluster:
    """A client of servers with the schema `outlive`, the table `entries` without a constraint, empty."""
    await migrate(db)
    await db.execute("drop table if exists entries; create table entries (id bigint, body text)", idempotent=True)
    return db


@pytest.fixture
async def proxy(servers: Servers) -> AsyncIterator[FaultProxy]:
    """A proxy before the primary; its choices are the same each time."""
    async with FaultProxy(servers.ports["n1"], random=Random(1)) as made:
        yield made


@pytest.fixture
async def proxied(servers: Servers, proxy: FaultProxy, keyed: outlive.Cluster) -> AsyncIterator[outlive.Cluster]:
    """A client that reaches the primary through the proxy; `entries` is as in `keyed`."""
    assert keyed.topology.nodes
    async with outlive.connect(servers.dsn().replace(str(servers.ports["n1"]), str(proxy.port))) as client:
        yield client


@pytest.fixture
async def counted(servers: Servers, proxy: FaultProxy, keyed: outlive.Cluster) -> AsyncIterator[outlive.Cluster]:
    """As `proxied`, with a watch that does not use the wire: its round trips are those of calls."""
    assert keyed.topology.nodes
    dsn = servers.dsn().replace(str(servers.ports["n1"]), str(proxy.port))
    async with outlive.connect(dsn, topology=once(dsn)) as client:
        yield client

"""One plain PostgreSQL, and a fresh database in it for each module: for stores that need no standby."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

import outlive
from integration.client.servers import Servers
from outlive.stores import AgentState, migrate


@pytest.fixture(scope="session")
def started() -> Iterator[Servers]:
    """A single server, as it was made."""
    with tempfile.TemporaryDirectory(prefix="outlive-one-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        root = Path(scratch) / "servers"
        root.mkdir(mode=0o700)
        made = Servers(root)
        try:
            made.create_alone()
            yield made
        finally:
            made.destroy()


@pytest.fixture(scope="session")
async def server(started: Servers) -> Servers:
    """A single server, that waits for no standby."""
    await started.configure("n1", synchronous_standby_names="")
    return started


@pytest.fixture(scope="module")
async def owner_dsn(server: Servers, request: pytest.FixtureRequest) -> str:
    """The module's own database, as its owner sees it, who is no superuser; the schema is not made yet."""
    name = f"{re.sub(r'[^a-z]', '_', request.module.__name__.rpartition('.')[2])}_{uuid4().hex[:8]}"
    await server.sql(
        "n1",
        f"create role {name} login password 'p@ss/w:rd'",
        f"create database {name} owner {name}",
        "select 1",
    )
    return server.dsn(user=name, names=("n1",), database=name)


@pytest.fixture(scope="module")
async def database(owner_dsn: str) -> str:
    """The DSN of the module's database, with its schema."""
    await migrate(owner_dsn)
    return owner_dsn


@pytest.fixture(scope="module")
async def db(database: str) -> AsyncIterator[outlive.Cluster]:
    """A client of that database."""
    async with outlive.connect(database, degraded="allow") as client:
        yield client


@pytest.fixture
def state(db: outlive.Cluster) -> AgentState:
    """The stores."""
    return AgentState(db)


@pytest.fixture
async def superuser(server: Servers, database: str) -> AsyncIterator[asyncpg.Connection]:
    """The superuser, in the module's database."""
    name = database.rpartition("/")[2].partition("?")[0]
    connection = await asyncpg.connect(server.dsn(names=("n1",), database=name))
    yield connection
    await connection.close()

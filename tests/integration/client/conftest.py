"""Servers for the client's tests: one set for all that leave it whole, one of its own for each that breaks it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import outlive
from integration.client.servers import Servers


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
        await client.execute("drop table if exists entries")
        await client.execute("create table entries (id bigint primary key, body text)")
        yield client

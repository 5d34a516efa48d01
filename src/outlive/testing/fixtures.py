"""Fixtures for pytest: a real cluster for the whole run, and a client of it for each test.

    pytest_plugins = ["outlive.testing.fixtures"]      # in conftest.py

It has one node, which starts in seconds; a session fixture of your own named `outlive_nodes` that returns 3 asks for
three, which can be made to fail over. The extra `outlive[testing]` brings what this needs.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from outlive.client.cluster import Cluster, connect
from outlive.testing.local_cluster import LocalCluster


@dataclass(frozen=True, slots=True)
class _Running:
    local: LocalCluster
    dsn: str


@pytest.fixture(scope="session")
def outlive_nodes() -> int:
    """How many nodes the cluster has."""
    return 1


@pytest.fixture(scope="session")
def _outlive_running(outlive_nodes: int) -> Iterator[_Running]:
    with tempfile.TemporaryDirectory(prefix="outlive-pytest-", ignore_cleanup_errors=True) as scratch:
        # Under root the servers run as an account of their own, which has to get there.
        Path(scratch).chmod(0o755)
        local = LocalCluster(Path(scratch) / "cluster", nodes=outlive_nodes)
        try:
            yield _Running(local, asyncio.run(local.start()))
        finally:
            asyncio.run(local.stop())


@pytest.fixture(scope="session")
def outlive_cluster(_outlive_running: _Running) -> LocalCluster:
    """A real cluster that is up, and can be hurt."""
    return _outlive_running.local


@pytest.fixture(scope="session")
def outlive_dsn(_outlive_running: _Running) -> str:
    """Where the cluster is."""
    return _outlive_running.dsn


@pytest_asyncio.fixture
async def outlive_db(outlive_dsn: str, outlive_nodes: int) -> AsyncIterator[Cluster]:
    """A connected client; a single node has no standby, and is accepted without one."""
    async with connect(outlive_dsn, degraded="refuse" if outlive_nodes > 1 else "allow") as db:
        yield db

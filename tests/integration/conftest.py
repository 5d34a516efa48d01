"""One real three-node cluster for all integration tests, made at the first use and removed at the end."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlive.cluster import lifecycle
from outlive.cluster.directory import ClusterDirectory
from outlive.cluster.making import Wish


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """A cluster that is up: where it lives and how to reach it."""

    directory: ClusterDirectory
    dsn: str


def quiet(_line: str) -> None:
    """Take a progress line and say nothing."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunningCluster]:
    """Three nodes, whole. A test that breaks it makes it whole again (`whole_cluster`)."""
    with tempfile.TemporaryDirectory(prefix="outlive-test-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        directory = ClusterDirectory(Path(scratch) / "cluster")
        try:
            yield RunningCluster(directory, asyncio.run(lifecycle.up(directory, Wish(), quiet)))
        finally:
            asyncio.run(lifecycle.down(directory, quiet))


@pytest.fixture
def whole_cluster(cluster: RunningCluster) -> Iterator[RunningCluster]:
    """The cluster, whole before the test, and asked to be whole again after it."""
    asyncio.run(lifecycle.up(cluster.directory, Wish(), quiet))
    yield cluster
    asyncio.run(lifecycle.up(cluster.directory, Wish(), quiet))

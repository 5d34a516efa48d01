"""One real three-node cluster for all integration tests, made at the first use and removed at the end."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlive.testing import LocalCluster


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """A cluster that is up: how to hurt it, where it lives, how to reach it."""

    local: LocalCluster
    directory: Path
    dsn: str


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunningCluster]:
    """Three nodes, whole. A test that breaks one asks for `whole_cluster` instead."""
    with tempfile.TemporaryDirectory(prefix="outlive-test-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        local = LocalCluster(Path(scratch) / "cluster", nodes=3)
        try:
            yield RunningCluster(local, local.directory.root, asyncio.run(local.start()))
        finally:
            asyncio.run(local.stop())


@pytest.fixture
def whole_cluster(cluster: RunningCluster) -> Iterator[RunningCluster]:
    """The cluster, whole before the test and made whole again after it."""
    asyncio.run(cluster.local.start())
    yield cluster
    asyncio.run(cluster.local.start())

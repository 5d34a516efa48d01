"""A server to back up, and an archive of it that is made by hand."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.backup.archiving import Archiving
from integration.backup.one_server import OLD, OneServer
from integration.backup.store_proxy import StoreProxy
from integration.client.servers import Servers
from outlive.postgres import programs
from outlive.testing.object_store import SeaweedFS
from require import require


@pytest.fixture(scope="module")
def source() -> Iterator[Servers]:
    """A single server, alone in its cluster."""
    with tempfile.TemporaryDirectory(prefix="outlive-backup-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        (Path(scratch) / "servers").mkdir(mode=0o700)
        made = Servers(Path(scratch) / "servers")
        try:
            made.create_alone()
            yield made
        finally:
            made.destroy()


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that the server's account can reach."""
    with tempfile.TemporaryDirectory(prefix="outlive-restore-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        yield Path(scratch)


@pytest.fixture(scope="module")
def archiving(source: Servers) -> Iterator[Archiving]:
    """The same server with an archiver beside it, into a directory."""
    archiving = Archiving(source)
    archiving.start()
    try:
        asyncio.run(archiving.configure())
        yield archiving
    finally:
        archiving.stop()


@pytest.fixture(scope="session", params=["18", "15"])
def release(request: pytest.FixtureRequest) -> Path:
    """The programs of PostgreSQL 18, then of 15."""
    if request.param == "15":
        require("postgresql-15", OLD.is_dir(), f"{OLD} is not there")
        return OLD
    return programs.directory(None)


@pytest.fixture(scope="session")
def server(release: Path) -> Iterator[OneServer]:
    """A primary and a standby of each release; tests leave both running."""
    with tempfile.TemporaryDirectory(prefix="outlive-pair-", ignore_cleanup_errors=True) as scratch:
        made = OneServer(Path(scratch), release)
        try:
            made.create()
            made.follow()
            yield made
        finally:
            made.remove()


@pytest.fixture(scope="session")
def s3() -> Iterator[SeaweedFS]:
    """A server that speaks S3."""
    scratch = tempfile.TemporaryDirectory(prefix="outlive-s3-", ignore_cleanup_errors=True)
    with scratch as folder, SeaweedFS(Path(folder)) as found:
        yield found


@pytest.fixture(scope="module")
def proxy(s3: SeaweedFS) -> Iterator[StoreProxy]:
    """Before the S3 server."""
    with StoreProxy(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def impatient(s3: SeaweedFS, proxy: StoreProxy) -> Path:
    """Options that lead to the proxy, as impatient as a test has to be."""
    options = s3.directory / f"through-{proxy.port}.json"
    ours = {"endpoint": proxy.endpoint, "timeout_s": 5.0, "retries": 1}
    options.write_text(json.dumps(json.loads(s3.options_file().read_text()) | ours))
    return options


@pytest.fixture(scope="module")
def proxied(source: Servers, proxy: StoreProxy, impatient: Path, s3: SeaweedFS) -> Iterator[Archiving]:
    """A server that archives through the proxy."""
    archiving = Archiving(source, s3.url("outlive", f"proxied-{proxy.port}"), impatient)
    archiving.start()
    try:
        asyncio.run(archiving.configure())
        yield archiving
    finally:
        proxy.heal()
        archiving.stop()

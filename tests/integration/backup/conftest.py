"""A server to back up, and an archive of it that is made by hand."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.backup.archiving import Archiving
from integration.client.servers import Servers


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

"""The demo's own cluster of three nodes, which it may hurt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from outlive import system
from outlive.backup.restoring.locked import LOCK
from outlive.cluster.archiving import ArchiveWish
from outlive.demo.backups import Backups
from outlive.demo.environment import Fault, Injection
from outlive.demo.scratch import CLUSTER, own_directory
from outlive.errors import ConfigurationError
from outlive.testing import LocalCluster


class OwnCluster:
    """A cluster in `directory`, or in a scratch directory that is removed at the end. See `Environment`.

    A cluster that runs already is used, and left running.
    """

    def __init__(self, directory: Path | None, report: Callable[[str], None]) -> None:
        self._report = report
        self._scratch = directory is None
        self._held = ExitStack()
        if directory is None:
            made = self._held.enter_context(own_directory())
            made.chmod(0o755)  # the cluster below it is closed to others, and may belong to another account
            directory = made / CLUSTER
        self._home = directory
        self._store = self._home.with_name("store")
        # A cluster that is somebody's own is not told where to archive to.
        archive = ArchiveWish(url=self._store.as_uri()) if self._scratch else None
        self._cluster = LocalCluster(self._home, archive=archive)
        self._started = False

    @property
    def description(self) -> str:
        """See `Environment`."""
        return "a cluster of three nodes on this machine"

    async def start(self) -> str:
        """See `Environment`."""
        self._started = not self._cluster.runs()
        return await self._cluster.start(self._report)

    @property
    def backups(self) -> Backups | None:
        """See `Environment`."""
        if not self._scratch:
            return None
        return Backups(self._cluster.directory, self._store.as_uri(), self._home.parent)

    async def inject(self, fault: Fault) -> Injection:
        """See `Environment`."""
        primary = await self._cluster.primary()
        at = system.monotonic()
        match fault:
            case Fault.POSTGRES:
                self._cluster.kill_postgres(primary)
            case Fault.NODE:
                self._cluster.kill_node(primary)
            case Fault.HOST:
                self._cluster.kill_host(primary)
            case Fault.SWITCHOVER:
                await self._cluster.switchover()
            case Fault.NONE:
                raise ConfigurationError("there is no fault to inject")
        return Injection(fault, primary, at)

    async def stop(self) -> None:
        """See `Environment`."""
        if self._started:
            self._started = False
            await self._cluster.stop(destroy=self._scratch)
            if self._scratch:
                shutil.rmtree(self._store, ignore_errors=True)
        if self._scratch and self._home.parent.exists():
            (self._home.parent / LOCK).unlink(missing_ok=True)
            if not any(self._home.parent.iterdir()):
                self._home.parent.rmdir()
        self._held.close()

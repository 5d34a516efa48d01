"""The store of the demo's own cluster: what goes into it, and what comes out again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from outlive import system
from outlive.backup.codec import Codec
from outlive.backup.layout import Kind
from outlive.backup.manifest import BackupManifest
from outlive.backup.observation import observe
from outlive.backup.proving.evidence import Evidence
from outlive.backup.proving.examination import Ledger
from outlive.backup.proving.restore_test import Trial, run
from outlive.backup.restoring.conversation import Lost, bring_back, moment
from outlive.backup.taking.create import create
from outlive.backup.taking.request import Request
from outlive.client.cluster import Cluster
from outlive.cluster.directory import ClusterDirectory
from outlive.cluster.reach import access
from outlive.errors import BackupError
from outlive.model.lsn import Timeline
from outlive.object_storage.opening import open_store
from outlive.object_storage.store import ObjectStore

COVERED_LIMIT_S = 60.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Backups:
    """The backups of a local cluster in the store at `url`; `scratch` is where restore tests may work."""

    directory: ClusterDirectory
    url: str
    scratch: Path

    async def take(self) -> BackupManifest:
        """Take a full backup."""
        spec, secrets = await asyncio.to_thread(self.directory.load)
        wish = Request(kind=Kind.FULL, programs=Path(spec.postgres_bin), codec=Codec())
        async with self._opened() as store:
            return await create(store, access(spec, secrets), wish)

    async def covered(self, timeline: Timeline, at: datetime) -> None:
        """Return once the store proves that it holds whatever was committed on `timeline` before `at`.

        Raises:
            BackupError: it doesn't within a minute.
        """
        until = system.monotonic() + COVERED_LIMIT_S
        async with self._opened() as store:
            while not await _covers(store, timeline, at):
                if system.monotonic() > until:
                    raise BackupError(f"the archive did not come to {at} within {COVERED_LIMIT_S:.0f} s")
                await asyncio.sleep(POLL_S)

    async def prove(self, backup: BackupManifest, at: datetime, ledger: Ledger) -> Evidence:
        """Restore the backup on a server of its own to the moment `at`, and hold it against the ledger."""
        async with self._opened() as store:
            _, material = await observe(store, None)
            return await run(material, Trial(backup=backup, at=at, ledger=ledger, scratch=self.scratch))

    async def bring_back(self, conversation: str, at: datetime, db: Cluster) -> int:
        """Put a conversation that is gone back into `db` as it was at `at`, under its own id; how many turns it has."""
        database = db.dsn.database or ""
        lost = Lost(
            conversation=conversation, wish=moment(at), database=database, new_id=conversation, scratch=self.scratch
        )
        async with self._opened() as store:
            _, material = await observe(store, None)
            return (await bring_back(material, lost, db)).turns

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[ObjectStore]:
        store = open_store(self.url)
        try:
            yield store
        finally:
            await store.close()


async def _covers(store: ObjectStore, timeline: Timeline, at: datetime) -> bool:
    _, material = await observe(store, None)
    return any(each.timeline == timeline and each.at >= at for each in material.facts.archive.covered)

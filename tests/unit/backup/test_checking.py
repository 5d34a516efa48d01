"""A look at a store in which `prune` is at work."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from outlive.backup import manifest
from outlive.backup.checking import check
from outlive.backup.layout import BASE, MANIFEST, Kind, backup_key
from outlive.backup.manifest import BackupManifest, StoredObject
from outlive.model.lsn import Timeline
from outlive.object_storage.directory import DirectoryStore
from outlive.object_storage.store import STREAM_CHUNK_BYTES

AT = datetime(2026, 11, 24, tzinfo=UTC)
BACKUP = "20261124T000000Z-full"
CONTENT = b"what a base backup holds"


class Pruned(DirectoryStore):
    """A directory whose backup is removed when its content is asked for."""

    goes: tuple[str, ...] = ()

    async def stream(self, key: str, *, chunk_bytes: int = STREAM_CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The object, unless it was one of those that are removed now."""
        await self.delete(self.goes)
        async for chunk in super().stream(key, chunk_bytes=chunk_bytes):
            yield chunk


async def made(root: Path) -> Pruned:
    """A store with one backup."""
    store = Pruned(root)
    stored = StoredObject(
        key=backup_key(BACKUP, BASE), size_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(), raw_bytes=99
    )
    backup = BackupManifest(
        format=1, id=BACKUP, kind=Kind.FULL, parent=None, system_identifier="7", postgres_version="18",
        timeline=Timeline(1), started_at=AT, finished_at=AT, from_node="h", from_role="standby", objects=(stored,),
        segment_bytes=1 << 24, outlive_version="0", start_lsn="0/1", end_lsn="0/2",
    )  # fmt: skip
    await store.put(stored.key, CONTENT)
    await store.put(backup_key(BACKUP, MANIFEST), manifest.encode(backup))
    return store


async def test_a_backup_that_is_pruned_while_it_is_read_is_not_broken(tmp_path: Path) -> None:
    """Its manifest is gone too by then, so nobody misses its content."""
    store = await made(tmp_path)
    store.goes = (backup_key(BACKUP, MANIFEST), backup_key(BACKUP, BASE))
    assert (await check(store, deep=True)).findings == ()


async def test_content_that_goes_alone_is_missed(tmp_path: Path) -> None:
    """While its manifest stays, the backup can't be restored."""
    store = await made(tmp_path)
    store.goes = (backup_key(BACKUP, BASE),)
    [found] = (await check(store, deep=True)).findings
    assert (found.key, found.what) == (backup_key(BACKUP, BASE), "it is not there any more")

"""Looks whether a store holds what its manifests say, byte by byte if asked, and what else lies there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from outlive.backup.catalog import Catalog
from outlive.backup.layout import BEGUN, MANIFEST, VERIFICATIONS, backup_key, id_of
from outlive.backup.manifest import BackupManifest, StoredObject
from outlive.errors import BackupError, ObjectNotFoundError
from outlive.object_storage.store import ObjectStore, UnfinishedUpload

OBJECTS_AT_A_TIME = 4
NO_UPLOADS = "uploads that never ended: this store tells of none, or asks for credentials that are not at hand here"


class Severity(Enum):
    """Whether something can't be restored, or only lies about."""

    BROKEN = "broken"
    UNTIDY = "untidy"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    severity: Severity
    key: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The findings, and what was looked at. `read_bytes` is zero unless every byte was read.

    `not_looked_at` says what could not be.
    """

    findings: tuple[Finding, ...]
    backups: int
    objects: int
    read_bytes: int
    not_looked_at: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every backup that exists can be read; untidiness doesn't matter."""
        return all(each.severity is not Severity.BROKEN for each in self.findings)


async def check(store: ObjectStore, *, deep: bool, progress: Callable[[str], None] = lambda _key: None) -> Checked:
    """Compare the store with its manifests; with `deep` read every byte of every backup.

    Raises:
        ObjectStorageError: the store failed.
    """
    catalog = await Catalog.load(store)
    gate = asyncio.Semaphore(OBJECTS_AT_A_TIME)
    sizes = {facts.key: facts.size_bytes for facts in catalog.objects}

    async def look(stored: StoredObject) -> Finding | None:
        if (found := _by_size(stored, sizes)) is not None or not deep:
            return found
        async with gate:
            progress(stored.key)
            return await _by_content(store, stored)

    wanted = [stored for backup in catalog.backups for stored in backup.objects]
    looked = [each for each in await asyncio.gather(*(look(stored) for stored in wanted)) if each is not None]
    broken = [each for each in (*looked, *_chains(catalog)) if not await _went_meanwhile(store, each.key)]
    uploads = await store.unfinished()
    untidy = [*_untidy(catalog), *(_upload(each) for each in uploads or ())]
    return Checked(
        findings=(*_damaged(catalog), *broken, *untidy),
        backups=len(catalog.backups),
        objects=len(wanted),
        read_bytes=sum(each.size_bytes for each in wanted) if deep else 0,
        not_looked_at=(NO_UPLOADS,) if uploads is None else (),
    )


def _by_size(stored: StoredObject, sizes: dict[str, int]) -> Finding | None:
    size_bytes = sizes.get(stored.key)
    if size_bytes is None:
        return Finding(Severity.BROKEN, stored.key, "it is not there")
    if size_bytes != stored.size_bytes:
        return Finding(Severity.BROKEN, stored.key, f"it has {size_bytes} bytes instead of {stored.size_bytes}")
    return None


async def _went_meanwhile(store: ObjectStore, key: str) -> bool:
    """Whether an object's backup was removed since it was listed: its manifest goes first, and all the rest after."""
    backup = id_of(key)
    return backup is not None and await store.head(backup_key(backup, MANIFEST)) is None


async def _by_content(store: ObjectStore, stored: StoredObject) -> Finding | None:
    digest = hashlib.sha256()
    try:
        async for chunk in store.stream(stored.key):
            await asyncio.to_thread(digest.update, chunk)
    except ObjectNotFoundError:
        return Finding(Severity.BROKEN, stored.key, "it is not there any more")
    if digest.hexdigest() != stored.sha256:
        return Finding(Severity.BROKEN, stored.key, "its bytes are not those that were written")
    return None


def _damaged(catalog: Catalog) -> Iterator[Finding]:
    for each in catalog.damaged:
        yield Finding(Severity.BROKEN, each.key, each.reason)


def _chains(catalog: Catalog) -> Iterator[Finding]:
    for backup in catalog.backups:
        try:
            catalog.chain(backup)
        except BackupError as error:
            yield Finding(Severity.BROKEN, backup_key(backup.id, MANIFEST), str(error))
    known = {backup.id for backup in catalog.backups}
    for keep in catalog.keeps:
        if keep.backup not in known:
            yield Finding(Severity.BROKEN, f"keeps/{keep.name}.json", f"it keeps {keep.backup}, which is not there")


def _untidy(catalog: Catalog) -> Iterator[Finding]:
    for unfinished in catalog.unfinished:
        what = "it has no manifest: it is being taken, or was left, or its manifest was removed"
        yield Finding(Severity.UNTIDY, f"backups/{unfinished}", what)
    expected = {key for backup in catalog.backups for key in _own(backup)}
    finished = {backup.id for backup in catalog.backups}
    for facts in catalog.objects:
        if id_of(facts.key) in finished and facts.key not in expected and f"/{VERIFICATIONS}/" not in facts.key:
            yield Finding(Severity.UNTIDY, facts.key, "no manifest names it")


def _own(backup: BackupManifest) -> Iterator[str]:
    yield from (backup_key(backup.id, MANIFEST), backup_key(backup.id, BEGUN))
    yield from (stored.key for stored in backup.objects)


def _upload(upload: UnfinishedUpload) -> Finding:
    what = f"an upload begun at {upload.started_at:%Y-%m-%d %H:%M:%S} UTC never ended"
    return Finding(Severity.UNTIDY, upload.key, what)

"""Removes what retention doesn't need any more: observed, planned purely, applied in an order that is safe to cut.

A backup's manifest goes before its objects, an incremental one before what it is based on, WAL last of all. Cut short
anywhere, what is left is either a whole backup or one that the next prune removes as unfinished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from outlive import system
from outlive.backup.catalog import Catalog
from outlive.backup.layout import BEGUN, MANIFEST, backup_key, id_of
from outlive.backup.manifest import BackupManifest
from outlive.backup.plan import retention
from outlive.backup.plan.archived import PREFIX, Archived, file_key, piece_key, read_listing, segment_key, superseded
from outlive.backup.plan.retention import Facts, Held, Retention, Rules, Unfinished
from outlive.backup.taking.reservation import Begun
from outlive.errors import ConfigurationError, ObjectNotFoundError
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, WalSegment, is_backup_history
from outlive.object_storage.store import ObjectFacts, ObjectStore, UnfinishedUpload


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """A plan with the keys that it comes to, in the order of their removal.

    `uploads` None: those that never ended could not be looked for.
    """

    retention: Retention
    backup_keys: tuple[str, ...]
    wal_keys: tuple[str, ...]
    uploads: tuple[UnfinishedUpload, ...] | None = ()
    sizes: Mapping[str, int]

    @property
    def freed_bytes(self) -> int:
        """What the removal frees, unfinished uploads apart."""
        return sum(self.sizes.get(key, 0) for key in (*self.backup_keys, *self.wal_keys))


async def prepare(store: ObjectStore, rules: Rules) -> Pruning:
    """What prune would remove now, and why.

    Raises:
        ConfigurationError: the store holds no backups; or a manifest is damaged, so that nothing can be said.
        ObjectStorageError: the store failed.
    """
    catalog = await Catalog.load(store)
    _require_readable(store, catalog)
    wal = [facts async for facts in store.list(PREFIX)]
    plan = retention.plan(await _facts(store, catalog), rules, system.now_utc())
    size = next((each.segment_bytes for each in catalog.backups), DEFAULT_SEGMENT_BYTES)
    archived = read_listing(((facts.key, facts.size_bytes) for facts in wal), size)
    uploads = await store.unfinished()
    old = [each for each in uploads or () if system.now_utc() - each.started_at > rules.unfinished_after]
    return Pruning(
        retention=plan,
        backup_keys=tuple(_backup_keys(catalog, plan)),
        wal_keys=tuple(_wal_keys(archived, wal, plan, size)),
        uploads=None if uploads is None else tuple(old),
        sizes={facts.key: facts.size_bytes for facts in (*catalog.objects, *wal)},
    )


async def apply(store: ObjectStore, pruning: Pruning) -> None:
    """Remove it. Cut short, it may be done again.

    Raises:
        AccessRefusedError: an object is locked, or these credentials may not remove.
        ObjectStorageError: the store failed.
    """
    for keys in _in_order(pruning.backup_keys):
        await store.delete(keys)
    await store.delete(pruning.wal_keys)
    for upload in pruning.uploads or ():
        await store.abandon(upload)


def _in_order(keys: Sequence[str]) -> list[list[str]]:
    """A manifest alone, then what lies behind it up to the next manifest at once."""
    batches: list[list[str]] = []
    for key in keys:
        if key.endswith(f"/{MANIFEST}") or not batches or batches[-1][0].endswith(f"/{MANIFEST}"):
            batches.append([key])
        else:
            batches[-1].append(key)
    return batches


def _require_readable(store: ObjectStore, catalog: Catalog) -> None:
    if catalog.repository is None:
        raise ConfigurationError(f"{store.url} holds no backups", hint="--storage names the store.")
    if catalog.damaged:
        raise ConfigurationError(
            f"nothing is removed: {catalog.damaged[0].reason}",
            hint="What it says of other backups is not known. Mend it, or remove that one object by hand.",
        )


async def _facts(store: ObjectStore, catalog: Catalog) -> Facts:
    keeps: dict[str, tuple[str, ...]] = {}
    for keep in catalog.keeps:
        keeps[keep.backup] = (*keeps.get(keep.backup, ()), keep.name)
    return Facts(
        backups=tuple(_held(each, catalog) for each in catalog.backups),
        unfinished=tuple([await _unfinished(store, each, catalog.objects) for each in catalog.unfinished]),
        keeps=keeps,
    )


def _held(backup: BackupManifest, catalog: Catalog) -> Held:
    return Held(
        id=backup.id, kind=backup.kind, started_at=backup.started_at, finished_at=backup.finished_at,
        parent=backup.parent, start=backup.start, end=backup.end, verified=backup.id in catalog.verified_at,
    )  # fmt: skip


async def _unfinished(store: ObjectStore, backup_id: str, objects: Sequence[ObjectFacts]) -> Unfinished:
    touched_at = max(facts.modified_at for facts in objects if id_of(facts.key) == backup_id)
    try:
        begun = msgspec.json.decode(await store.get(backup_key(backup_id, BEGUN)), type=Begun)
    except (ObjectNotFoundError, msgspec.MsgspecError):
        return Unfinished(id=backup_id, touched_at=touched_at)
    return Unfinished(id=backup_id, touched_at=touched_at, parent=begun.parent)


def _backup_keys(catalog: Catalog, plan: Retention) -> list[str]:
    found: list[str] = []
    for backup_id in (*(each.id for each in plan.goes), *plan.abandoned):
        manifest = backup_key(backup_id, MANIFEST)
        keys = [facts.key for facts in catalog.objects if id_of(facts.key) == backup_id]
        found += [key for key in keys if key == manifest] + [key for key in keys if key != manifest]
    return found


def _wal_keys(archived: Archived, listing: Sequence[ObjectFacts], plan: Retention, size_bytes: int) -> list[str]:
    keys = [segment_key(each) for each in sorted(archived.segments) if plan.removes(each)]
    keys += [file_key(f"{each.name}.partial") for each in sorted(archived.partials) if plan.removes(each)]
    needless = {*superseded(archived), *(each for each in archived.pieces if plan.removes(each.segment))}
    keys += [piece_key(each) for each in sorted(needless)]
    for facts in listing:
        name = facts.key.rsplit("/", 1)[-1]
        if is_backup_history(name) and plan.removes(WalSegment.parse(name[:24], size_bytes)):
            keys.append(facts.key)
    return keys

"""All that a store holds of backups, read from their manifests: an ID without one is no backup."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from outlive.backup import manifest as manifests
from outlive.backup import repository as repositories
from outlive.backup.layout import (
    BACKUPS,
    KEEPS,
    MANIFEST,
    POINTS,
    VERIFICATIONS,
    BackupId,
    Kind,
    backup_key,
    id_of,
)
from outlive.backup.manifest import BackupManifest
from outlive.backup.repository import Repository
from outlive.errors import BackupError, ChecksumMismatchError, ConfigurationError, ObjectNotFoundError
from outlive.model.lsn import Timeline
from outlive.object_storage.store import ObjectFacts, ObjectStore

READS_AT_A_TIME = 16


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """A legal hold: retention leaves the backup alone, with all that restoring it needs."""

    name: str
    backup: str
    reason: str
    made_at: datetime


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A named restore point; `lsn` in PostgreSQL's form."""

    name: str
    lsn: str
    timeline: Timeline
    made_at: datetime


class VerificationMark(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalog reads of a restore test's evidence; there is more in it."""

    status: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Damaged:
    """Something that lies there and can't be read."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything there is, oldest backup first. `unfinished` are IDs without a manifest: taken just now, or left."""

    repository: Repository | None
    backups: tuple[BackupManifest, ...]
    unfinished: tuple[str, ...] = ()
    damaged: tuple[Damaged, ...] = ()
    keeps: tuple[Keep, ...] = ()
    points: tuple[Point, ...] = ()
    verified_at: dict[str, datetime]
    objects: tuple[ObjectFacts, ...] = ()

    @classmethod
    async def load(cls, store: ObjectStore) -> Catalog:
        """Read it all; the archive of WAL is not part of it.

        Raises:
            ObjectStorageError: the store doesn't answer, or refuses.
        """
        repository = await repositories.find(store)
        objects = tuple([facts async for facts in store.list(BACKUPS)])
        ids = sorted({found for facts in objects if (found := id_of(facts.key)) is not None})
        with_manifest = {
            found for facts in objects if facts.key == backup_key(found := id_of(facts.key) or "", MANIFEST)
        }
        read = await _read_all(store, [backup_key(each, MANIFEST) for each in ids if each in with_manifest])
        backups = tuple(each for each in read if isinstance(each, BackupManifest))
        keeps, points = await _records(store, KEEPS, Keep), await _records(store, POINTS, Point)
        return cls(
            repository=repository,
            backups=tuple(sorted(backups, key=lambda each: (each.started_at, each.id))),
            unfinished=tuple(each for each in ids if each not in with_manifest),
            damaged=tuple(each for each in (*read, *keeps, *points) if isinstance(each, Damaged)),
            keeps=tuple(each for each in keeps if isinstance(each, Keep)),
            points=tuple(each for each in points if isinstance(each, Point)),
            verified_at=await _verified(store, objects),
            objects=objects,
        )

    def find(self, wanted: str) -> BackupManifest:
        """The backup of this ID; `latest` is the newest physical one.

        Raises:
            ConfigurationError: there is no such backup.
            ChecksumMismatchError: there is, and its manifest is damaged.
            BackupError: there is, and it was never finished.
        """
        if wanted == "latest":
            return self._latest()
        found = next((each for each in self.backups if each.id == wanted), None)
        if found is not None:
            return found
        BackupId.parse(wanted)
        for each in self.damaged:
            if each.key == backup_key(wanted, MANIFEST):
                raise ChecksumMismatchError(each.reason)
        if wanted in self.unfinished:
            raise BackupError(
                f"backup {wanted} has no manifest: it was never finished, or the manifest was removed",
                hint="`outlive backup list` shows those that can be restored.",
            )
        raise ConfigurationError(f"there is no backup {wanted}", hint="`outlive backup list` shows them.")

    def chain(self, backup: BackupManifest) -> tuple[BackupManifest, ...]:
        """The backup with all that it is based on, the full one first.

        Raises:
            BackupError: one of them is not there.
        """
        chain = [backup]
        while (parent := chain[0].parent) is not None:
            found = next((each for each in self.backups if each.id == parent), None)
            if found is None or found in chain:
                raise BackupError(
                    f"backup {backup.id} can't be restored: {chain[0].id} is based on {parent}, which is not there",
                    hint="Restore another one; `outlive backup list` tells which are whole.",
                )
            chain.insert(0, found)
        return tuple(chain)

    def _latest(self) -> BackupManifest:
        physical = [each for each in self.backups if each.kind is not Kind.LOGICAL]
        if not physical:
            raise ConfigurationError("there is no backup yet", hint="`outlive backup create` takes one.")
        return max(physical, key=lambda each: (each.finished_at, each.id))


async def _read_all(store: ObjectStore, keys: Iterable[str]) -> list[BackupManifest | Damaged]:
    gate = asyncio.Semaphore(READS_AT_A_TIME)

    async def read(key: str) -> BackupManifest | Damaged | None:
        async with gate:
            try:
                return manifests.decode(await store.get(key), f"{store.url}/{key}")
            except (ChecksumMismatchError, ConfigurationError) as error:
                return Damaged(key, str(error))
            except ObjectNotFoundError:  # removed between the listing and now
                return None

    found = await asyncio.gather(*(read(key) for key in keys))
    return [each for each in found if each is not None]


async def _records(store: ObjectStore, folder: str, kind: type[Keep] | type[Point]) -> list[Keep | Point | Damaged]:
    found: list[Keep | Point | Damaged] = []
    async for facts in store.list(folder):
        try:
            found.append(msgspec.json.decode(await store.get(facts.key), type=kind))
        except ObjectNotFoundError:  # removed between the listing and now
            continue
        except msgspec.MsgspecError as error:
            found.append(Damaged(facts.key, f"{store.url}/{facts.key} is not what was written: {error}"))
    return found


async def _verified(store: ObjectStore, objects: Iterable[ObjectFacts]) -> dict[str, datetime]:
    """The newest restore test of each backup that ended well."""
    found: dict[str, datetime] = {}
    for facts in objects:
        parts = facts.key.split("/")
        if len(parts) != 4 or parts[2] != VERIFICATIONS:
            continue
        try:
            mark = msgspec.json.decode(await store.get(facts.key), type=VerificationMark)
        except (msgspec.MsgspecError, ObjectNotFoundError):
            continue
        if mark.status == "verified":
            found[parts[1]] = max(mark.at, found.get(parts[1], mark.at))
    return found

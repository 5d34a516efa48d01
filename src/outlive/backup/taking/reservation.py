"""A backup's ID, reserved in the store before anything else is written there, and what is left of one that failed."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from datetime import datetime

import msgspec

from outlive import system
from outlive.backup.layout import BEGUN, MANIFEST, SAME_SECOND_LIMIT, BackupId, Kind, backup_folder, backup_key
from outlive.errors import BackupError, ObjectExistsError, OutliveError
from outlive.object_storage.store import ObjectStore

CLEAN_LIMIT_S = 60.0


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """Who took the ID, and the backup that this one is going to need."""

    started_at: datetime
    host: str
    pid: int
    parent: str | None = None


async def reserve(store: ObjectStore, kind: Kind, parent: str | None) -> BackupId:
    """A new ID of this moment, taken by this process alone; given back if the caller is cancelled meanwhile.

    Raises:
        BackupError: all IDs of this second are taken.
    """
    # A put that is cancelled may still arrive: it is let end, so that what it wrote can be removed.
    reserving = asyncio.ensure_future(_reserve(store, kind, parent))
    try:
        return await asyncio.shield(reserving)
    except asyncio.CancelledError:
        await _give_back(store, reserving)
        raise


async def _give_back(store: ObjectStore, reserving: asyncio.Future[BackupId]) -> None:
    """What can't be removed in time is for `prune`."""
    with suppress(OutliveError, TimeoutError):
        async with asyncio.timeout(CLEAN_LIMIT_S):
            await release(store, await reserving)


async def _reserve(store: ObjectStore, kind: Kind, parent: str | None) -> BackupId:
    now = system.now_utc().replace(microsecond=0)
    begun = Begun(started_at=now, host=socket.gethostname(), pid=os.getpid(), parent=parent)
    for number in range(1, SAME_SECOND_LIMIT):
        backup_id = BackupId(now, kind, number)
        try:
            await store.put(backup_key(str(backup_id), BEGUN), msgspec.json.encode(begun), create=True)
        except ObjectExistsError:
            continue
        if await store.head(backup_key(str(backup_id), MANIFEST)) is None:
            return backup_id
        await store.delete([backup_key(str(backup_id), BEGUN)])
    raise BackupError(f"{SAME_SECOND_LIMIT} backups of this second are there already", hint="Try it again.")


async def release(store: ObjectStore, backup_id: BackupId) -> None:
    """Remove the mark of a backup that is finished."""
    await store.delete([backup_key(str(backup_id), BEGUN)])


async def abandon(store: ObjectStore, backup_id: BackupId) -> str | None:
    """Remove whatever there is of a backup that failed; why that was not possible. `prune` removes the rest then.

    The manifest goes first: what is half removed must not look like a backup.
    """
    try:
        async with asyncio.timeout(CLEAN_LIMIT_S):
            keys = [facts.key async for facts in store.list(backup_folder(str(backup_id)))]
            manifest = backup_key(str(backup_id), MANIFEST)
            await store.delete([key for key in keys if key == manifest])
            await store.delete([key for key in keys if key != manifest])
    except (OutliveError, TimeoutError) as error:
        return str(error) or "the store did not answer in time"
    return None

"""Whose backups a store holds: one cluster's, for good."""

from __future__ import annotations

from datetime import datetime

import msgspec

from outlive import system
from outlive.backup.layout import REPOSITORY
from outlive.errors import ChecksumMismatchError, ConfigurationError, ObjectExistsError, ObjectNotFoundError
from outlive.object_storage.store import ObjectStore

FORMAT = 1


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """What `repository.json` says. `key_id` names the key that the first backup was encrypted with."""

    format: int
    system_identifier: str
    made_at: datetime
    key_id: str | None = None


async def find(store: ObjectStore) -> Repository | None:
    """What the store says of itself; None where nothing was ever written there.

    Raises:
        ChecksumMismatchError: it can't be read.
        ConfigurationError: a later release made it.
    """
    try:
        stored = await store.get(REPOSITORY)
        found = msgspec.json.decode(stored, type=Repository)
    except ObjectNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise ChecksumMismatchError(f"{store.url}/{REPOSITORY} is not what was written: {error}") from None
    if found.format > FORMAT:
        raise ConfigurationError(
            f"{store.url} was made by a later release of Outlive", hint="Bring this one up to date."
        )
    return found


async def require(store: ObjectStore, system_identifier: str, key_id: str | None = None) -> Repository:
    """Make the store this cluster's if it is nobody's; `key_id` names the key that is written with.

    Raises:
        ConfigurationError: it is another cluster's; or it is an encrypted one and no key was given.
    """
    found = await find(store) or await _make(store, system_identifier, key_id)
    if found.system_identifier != system_identifier:
        raise ConfigurationError(
            f"{store.url} holds the backups of cluster {found.system_identifier}, and this is {system_identifier}",
            hint="Give each cluster a prefix of its own.",
        )
    if found.key_id is not None and key_id is None:
        raise ConfigurationError(
            f"{store.url} holds encrypted backups (key {found.key_id}), and no key was given",
            hint="Give the key by --key-file or OUTLIVE_BACKUP_KEY; nothing is written there in the open.",
        )
    return found


async def _make(store: ObjectStore, system_identifier: str, key_id: str | None) -> Repository:
    made = Repository(format=FORMAT, system_identifier=system_identifier, made_at=system.now_utc(), key_id=key_id)
    try:
        await store.put(REPOSITORY, msgspec.json.encode(made), create=True)
    except ObjectExistsError:
        return await find(store) or made
    return made

"""Keeps: backups that retention leaves alone for as long as somebody says so."""

from __future__ import annotations

import msgspec

from outlive import system
from outlive.backup.catalog import Catalog, Keep
from outlive.backup.layout import keep_key
from outlive.errors import ConfigurationError, ObjectExistsError
from outlive.object_storage.store import ObjectStore


async def keep(store: ObjectStore, name: str, backup: str, reason: str) -> Keep:
    """Keep a backup, an ID or `latest`, under a name of its own.

    Raises:
        ConfigurationError: there is no such backup, or the name is taken or is none.
    """
    found = (await Catalog.load(store)).find(backup)
    made = Keep(name=name, backup=found.id, reason=reason, made_at=system.now_utc())
    try:
        await store.put(keep_key(name), msgspec.json.encode(made), create=True)
    except ObjectExistsError:
        raise ConfigurationError(
            f"there is a keep {name} already", hint="Choose another name, or end that one with --release."
        ) from None
    return made


async def release(store: ObjectStore, name: str) -> None:
    """End a keep: the next prune treats its backup as any other.

    Raises:
        ConfigurationError: there is no keep of that name.
    """
    if await store.head(keep_key(name)) is None:
        raise ConfigurationError(f"there is no keep {name}", hint="`outlive backup list` shows them.")
    await store.delete([keep_key(name)])

"""Named restore points: a mark in the WAL, and a record of it in the store."""

from __future__ import annotations

import asyncpg
import msgspec

from outlive import system
from outlive.backup.catalog import Point
from outlive.backup.layout import point_key
from outlive.backup.taking.servers import observe
from outlive.errors import BackupError, ConfigurationError, NoPrimaryError, ObjectExistsError
from outlive.model.lsn import Timeline
from outlive.model.topology import Role
from outlive.object_storage.store import ObjectStore
from outlive.postgres.access import Access, connect

QUERY_LIMIT_S = 30.0
_MARK = "SELECT pg_create_restore_point($1)::text, left(pg_walfile_name(pg_current_wal_lsn()), 8)"


async def make(store: ObjectStore, access: Access, name: str) -> Point:
    """Mark this moment of the primary's WAL as `name`. It can be restored once the WAL up to it is in the store.

    Raises:
        ConfigurationError: there is one of that name, or it is no name.
        NoPrimaryError: no primary answers.
        BackupError: the primary refused.
    """
    key = point_key(name)
    if await store.head(key) is not None:
        raise _taken(name)
    primaries = [facts for facts in await observe(access) if facts.role is Role.PRIMARY]
    if not primaries:
        raise NoPrimaryError("no primary answers, and only it can mark a restore point")
    connection = await connect(access, max(primaries, key=lambda facts: facts.timeline).address)
    made_at = system.now_utc()
    try:
        lsn, timeline = await connection.fetchrow(_MARK, name, timeout=QUERY_LIMIT_S)
    except asyncpg.PostgresError as error:
        raise BackupError(
            f"the primary refused to mark a restore point: {error}",
            hint="Its role needs EXECUTE on pg_create_restore_point.",
        ) from error
    finally:
        await connection.close()
    point = Point(name=name, lsn=lsn, timeline=Timeline(int(timeline, 16)), made_at=made_at)
    try:
        await store.put(key, msgspec.json.encode(point), create=True)
    except ObjectExistsError:
        raise _taken(name) from None
    return point


def _taken(name: str) -> ConfigurationError:
    return ConfigurationError(f"there is a restore point {name!r} already", hint="Choose another name.")

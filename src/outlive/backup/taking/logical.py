"""Runs pg_dump and stores what it writes, with the rows counted in the very snapshot that it dumps."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from outlive.backup.layout import DUMP, backup_key
from outlive.backup.manifest import DatabaseCounts, StoredObject
from outlive.backup.plan.source import ServerFacts
from outlive.backup.taking import counting
from outlive.backup.taking.flow import limited, piece_bytes, send
from outlive.backup.taking.progress import Meter
from outlive.backup.taking.request import Request
from outlive.errors import BackupError, UnavailableError
from outlive.object_storage.store import ObjectStore
from outlive.postgres.access import Access, connect, environment
from outlive.postgres.children import Child

MAGIC = b"PGDMP"


@dataclass(frozen=True, slots=True)
class Dumped:
    """What lies in the store of it, and what it holds."""

    objects: tuple[StoredObject, ...]
    counts: tuple[DatabaseCounts, ...]


async def take(
    store: ObjectStore, backup_id: str, access: Access, server: ServerFacts, request: Request, meter: Meter
) -> Dumped:
    """Dump one database of `server` into the store.

    Raises:
        BackupError: pg_dump failed. Nothing of the dump is left.
        UnavailableError: the server went away, or refused.
        ObjectStorageError: the store failed.
    """
    database = request.database or access.database
    connection = await connect(access, server.address, database)
    try:
        before = await counting.position(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            counts = await counting.within(connection, database, before) if request.count_rows else None
            stored = await _send(store, backup_id, access, server, request, meter, database, snapshot)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise UnavailableError(f"{server.address}: {str(error) or type(error).__name__}") from None
    finally:
        connection.terminate()
    return Dumped((stored,), (counts,) if counts else ())


async def _send(
    store: ObjectStore, backup_id: str, access: Access, server: ServerFacts, request: Request, meter: Meter,
    database: str, snapshot: str,
) -> StoredObject:  # fmt: skip
    command = [
        str(request.programs / "pg_dump"), "--format=custom", "--compress=0", "--no-password",
        f"--snapshot={snapshot}", f"--dbname={database}",
    ]  # fmt: skip
    first = bytearray()
    surroundings = environment(access, server.address, access.login, os.environ)
    async with Child(command, surroundings) as child:
        return await send(
            store, backup_key(backup_id, DUMP), _output(child, first, request.bytes_per_s), request.codec,
            meter=meter, follow=lambda chunk: first.extend(chunk[: len(MAGIC) - len(first)]),
            expected_bytes=server.size_bytes,
        )  # fmt: skip


async def _output(child: Child, first: bytearray, bytes_per_s: float | None) -> AsyncIterator[bytes]:
    async for chunk in limited(child.chunks(piece_bytes(bytes_per_s)), bytes_per_s):
        yield chunk
    status = await child.ended()
    if status != 0:
        lines = [line for line in child.errors.splitlines() if line.strip()]
        raise BackupError(f"pg_dump ended with {status}: {lines[0] if lines else 'it said nothing'}")
    await asyncio.sleep(0)
    if bytes(first) != MAGIC:
        raise BackupError("pg_dump ended, and what it wrote is no dump")

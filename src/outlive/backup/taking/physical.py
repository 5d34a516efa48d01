"""Runs pg_basebackup and stores what it writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO

from outlive.backup import codec as codecs
from outlive.backup.layout import BASE, PG_MANIFEST, backup_key
from outlive.backup.manifest import StoredObject
from outlive.backup.plan.source import ServerFacts
from outlive.backup.taking.flow import limited, once, piece_bytes, send
from outlive.backup.taking.holding import Hold
from outlive.backup.taking.pg_manifest import WalRange, read
from outlive.backup.taking.progress import Meter
from outlive.backup.taking.request import Request
from outlive.backup.taking.tar import TarFollower
from outlive.errors import BackupError
from outlive.object_storage.store import ObjectStore
from outlive.postgres.access import Access, environment
from outlive.postgres.children import Child

_NO_SUMMARIES = ("WAL summaries are required", "WAL summarization is not progressing", "manifest requires WAL from")


class NotIncrementalError(BackupError):
    """The server refused an incremental backup; a full one can be taken. Not seen outside of this room."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What lies in the store of it, and the WAL that makes it consistent."""

    objects: tuple[StoredObject, ...]
    wal: WalRange


async def take(
    store: ObjectStore, backup_id: str, access: Access, server: ServerFacts, request: Request, hold: Hold,
    meter: Meter, parent_manifest: IO[bytes] | None,
) -> Sent:  # fmt: skip
    """Stream a base backup from `server` into the store: the tar, then PostgreSQL's manifest of it.

    Raises:
        BackupError: pg_basebackup failed, or what it wrote is not whole. Nothing of the tar is left.
        ObjectStorageError: the store failed.
    """
    follower = TarFollower("backup_manifest")
    handed = (parent_manifest.fileno(),) if parent_manifest else ()
    command = _command(request, backup_id, handed)
    surroundings = environment(access, server.address, access.replication, os.environ)
    async with Child(command, surroundings, handed) as child, _watching(hold, meter):
        stored = await send(
            store, backup_key(backup_id, BASE), _output(child, follower, request.bytes_per_s),
            request.codec, meter=meter, follow=follower.take, expected_bytes=server.size_bytes,
        )  # fmt: skip
    kept = bytes(follower.kept or b"")
    wal = read(kept)
    copy = await send(store, backup_key(backup_id, PG_MANIFEST), once(kept), request.codec, meter=Meter())
    return Sent((stored, copy), wal)


@contextlib.asynccontextmanager
async def _watching(hold: Hold, meter: Meter) -> AsyncIterator[None]:
    watching = asyncio.create_task(hold.watch(meter))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def fetch_pg_manifest(store: ObjectStore, backup_id: str, request: Request, into: IO[bytes]) -> None:
    """Write PostgreSQL's manifest of an earlier backup into a file.

    Raises:
        ChecksumMismatchError: it is not what was written.
        ConfigurationError: its key is not at hand.
    """
    key = backup_key(backup_id, PG_MANIFEST)
    async for chunk in codecs.decode(store.stream(key), request.codec.keyring, key):
        into.write(chunk)
    into.flush()
    into.seek(0)


def _command(request: Request, backup_id: str, parent_manifest: tuple[int, ...]) -> list[str]:
    # By its descriptor: the file has no name, so that nothing of it is left by a process that was killed.
    return [
        str(request.programs / "pg_basebackup"), "--pgdata=-", "--format=tar", "--wal-method=fetch", "--no-password",
        f"--checkpoint={'fast' if request.fast_checkpoint else 'spread'}", f"--label=outlive {backup_id}",
        *(f"--incremental=/dev/fd/{each}" for each in parent_manifest),
    ]  # fmt: skip


async def _output(child: Child, follower: TarFollower, bytes_per_s: float | None) -> AsyncIterator[bytes]:
    """What it writes; an error at the end unless it ended well, so that the upload is never completed."""
    async for chunk in limited(child.chunks(piece_bytes(bytes_per_s)), bytes_per_s):
        yield chunk
    status = await child.ended()
    if status != 0:
        raise _failure(status, child.errors)
    if not follower.ended or follower.kept is None:
        raise BackupError("pg_basebackup ended, and what it wrote is not whole")


def _failure(status: int, errors: str) -> BackupError:
    lines = [line for line in errors.splitlines() if line.strip()]
    said = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "it said nothing")
    kind = NotIncrementalError if any(each in errors for each in _NO_SUMMARIES) else BackupError
    return kind(f"pg_basebackup ended with {status}: {said}")

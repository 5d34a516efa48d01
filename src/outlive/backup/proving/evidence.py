"""What came of a restore test, kept beside the backup; each piece holds the hash of the one before it.

So that evidence can't be taken away, put in, or changed afterwards without its being seen: `broken_link` reads the
chain. Whoever can write all of it anew can forge it; a store with object lock prevents that.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from outlive.backup.layout import BACKUPS, VERIFICATIONS, verification_key
from outlive.errors import ChecksumMismatchError, ObjectExistsError, ObjectStorageError
from outlive.object_storage.store import ObjectStore

VERIFIED, FAILED = "verified", "failed"
TRIES = 20


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One restore test. `at` is when it ended, `seconds` are by phase, `checks` by name: how many complaints.

    `compared` says whether rows were compared at the place in the WAL at which they had been counted.
    """

    status: str
    at: datetime
    backup: str
    chain: tuple[str, ...]
    target: str
    outlive_version: str
    timeline: int | None = None
    recovered_to: str | None = None
    last_commit_at: datetime | None = None
    seconds: dict[str, float] = {}
    tables: int = 0
    rows: int = 0
    compared: bool = False
    checks: dict[str, int] = {}
    complaints: tuple[str, ...] = ()
    previous: str | None = None


async def read_all(store: ObjectStore, backup: str) -> list[tuple[str, bytes]]:
    """Key and bytes of a backup's evidence, oldest first."""
    folder = f"{BACKUPS}/{backup}/{VERIFICATIONS}"
    keys = sorted([facts.key async for facts in store.list(folder)])
    return [(key, await store.get(key)) for key in keys]


async def keep(store: ObjectStore, evidence: Evidence) -> Evidence:
    """Store evidence behind what is there; it is never written over. Returns it with its link.

    Its number is its place: of two tests that end at once one has it, and the other one comes behind.

    Raises:
        ObjectStorageError: the store failed, or others were faster each time.
    """
    for _ in range(TRIES):
        before = await read_all(store, evidence.backup)
        linked = msgspec.structs.replace(evidence, previous=digest(before[-1][1]) if before else None)
        try:
            await store.put(_next(evidence.backup, before), msgspec.json.encode(linked), create=True)
        except ObjectExistsError:
            continue
        return linked
    raise ObjectStorageError(f"the evidence about {evidence.backup} found no place behind the others in {TRIES} tries")


def _next(backup: str, before: list[tuple[str, bytes]]) -> str:
    last = before[-1][0].rsplit("/", 1)[-1].removesuffix(".json") if before else "0"
    if not last.isdecimal():
        raise ChecksumMismatchError(f"{before[-1][0]} is no evidence: its name is no number")
    return verification_key(backup, int(last) + 1)


def decode(stored: bytes, key: str) -> Evidence:
    """Evidence as it was stored.

    Raises:
        ChecksumMismatchError: it is none.
    """
    try:
        return msgspec.json.decode(stored, type=Evidence)
    except msgspec.MsgspecError as error:
        raise ChecksumMismatchError(f"{key} is not what was written: {error}") from error


def broken_link(stored: list[tuple[str, bytes]]) -> str | None:
    """The key of the first evidence whose hash of the one before it is wrong; None where all are right."""
    previous = None
    for key, content in stored:
        if decode(content, key).previous != previous:
            return key
        previous = digest(content)
    return None


def digest(stored: bytes) -> str:
    """The hash by which the next evidence names this one."""
    return hashlib.sha256(stored).hexdigest()

"""Brings WAL into the store and finds it there again: framed, encrypted where there is a key, never over another.

What tells two contents apart is the SHA-256 of the raw bytes, kept in the object's header: the stored bytes differ
from put to put, as each object has a key of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from outlive.backup.codec import Codec, decode_bytes, encode_bytes, peek
from outlive.backup.plan.archived import Piece, mark_key, piece_key, tail_folder
from outlive.errors import BackupError, ObjectExistsError
from outlive.model.lsn import Lsn, Timeline
from outlive.object_storage.store import ObjectStore

HEADER_READ_BYTES = 20 * 1024
RAW_DIGEST = "raw_sha256"
PROVED_AT = "at"


class Mark(msgspec.Struct, frozen=True):
    """A primary's word while nothing is written: whatever was acknowledged before `at` is in the store up to `end`."""

    end: str
    at: datetime
    node: str


@dataclass(frozen=True, slots=True)
class Deposit:
    """The store as the archiver sees it. Every call ends within the time that the store's options allow."""

    store: ObjectStore
    codec: Codec = field(default_factory=Codec)

    async def holds(self, key: str, digest: str) -> bool:
        """Whether the object is there with this content.

        Raises:
            BackupError: it is there with another one.
        """
        if await self.store.head(key) is None:
            return False
        found = await self.digest(key)
        if found != digest:
            raise BackupError(
                f"{key} is in the store with other content", hint="Is another cluster archiving there, or a node that "
                "was promoted beside the primary? Find out which of the two is right before anything is removed."
            )  # fmt: skip
        return True

    async def digest(self, key: str) -> str:
        """The SHA-256 of an object's raw content: what its header says, else what its bytes are."""
        about = await self._about(key)
        if RAW_DIGEST in about:
            return str(about[RAW_DIGEST])
        return hashlib.sha256(await self.read(key)).hexdigest()

    async def put(self, key: str, raw: bytes, digest: str, proved_at: datetime | None = None) -> bool:
        """Make the file durable; False if it was there already, by another node or by a put whose answer was lost.

        What was acknowledged before `proved_at` lies before the end of the file.

        Raises:
            BackupError: it is there with other content.
        """
        stored = await self._encode(key, raw, {RAW_DIGEST: digest} | _proof(proved_at))
        try:
            await self.store.put(key, stored, create=True)
        except ObjectExistsError:
            await self.holds(key, digest)
            return False
        return True

    async def put_piece(self, piece: Piece, raw: bytes, proved_at: datetime | None) -> None:
        """Make a piece durable. One of the same name has the same bytes: only one primary writes a timeline."""
        key, about = piece_key(piece), _proof(proved_at)
        try:
            await self.store.put(key, await self._encode(key, raw, about), create=True)
        except ObjectExistsError:
            return

    async def put_mark(self, timeline: Timeline, end: Lsn, at: datetime, node: str) -> None:
        """Say how far the store reaches now, over what was said before."""
        await self.store.put(mark_key(timeline), msgspec.json.encode(Mark(str(end), at, node)))

    async def tidy_after(self, segment_names: Collection[str]) -> None:
        """Remove the pieces of segments that are there as a whole."""
        for timeline in sorted({Timeline(int(name[:8], 16)) for name in segment_names}):
            folder = tail_folder(timeline)
            listed = [found.key async for found in self.store.list(folder.rstrip("/"))]
            of = {key: key.removeprefix(folder).partition(".")[0] for key in listed}
            await self.store.delete([key for key in listed if of[key] in segment_names])

    async def read(self, key: str) -> bytes:
        """An object's raw content, its checksums proved.

        Raises:
            ChecksumMismatchError: it is damaged, or of another name or key.
        """
        stored = await self.store.get(key)
        return await asyncio.to_thread(decode_bytes, stored, self.codec.keyring, key)

    async def _about(self, key: str) -> Mapping[str, str | int]:
        return peek(await self.store.get_range(key, 0, HEADER_READ_BYTES), key).about

    async def _encode(self, key: str, raw: bytes, about: Mapping[str, str | int]) -> bytes:
        return await asyncio.to_thread(encode_bytes, raw, self.codec, key, about)


def _proof(proved_at: datetime | None) -> dict[str, str | int]:
    return {} if proved_at is None else {PROVED_AT: proved_at.isoformat()}

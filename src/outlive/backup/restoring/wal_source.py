"""Reads files of WAL out of the store: whole segments, the pieces of one that was being written, histories."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outlive.backup import codec
from outlive.backup.keys import Keyring
from outlive.backup.plan.archived import Piece, coverage, file_key, piece_key
from outlive.errors import ObjectNotFoundError
from outlive.model.wal import WalSegment
from outlive.object_storage.store import ObjectStore


@dataclass(frozen=True, slots=True)
class WalSource:
    """`pieces` are those of segments that were not whole when the restore was planned."""

    store: ObjectStore
    keyring: Keyring | None
    pieces: Mapping[WalSegment, Sequence[Piece]]
    partials: frozenset[WalSegment]

    async def read(self, name: str) -> bytes:
        """The file as PostgreSQL wrote it; what was not written yet of a segment is zeros.

        Raises:
            ObjectNotFoundError: the store has none.
            ChecksumMismatchError: it is not what was stored.
        """
        try:
            return await self._object(file_key(name))
        except ObjectNotFoundError:
            for segment, pieces in self.pieces.items():
                if segment.name == name:
                    return await self._pieced(segment, pieces)
            for segment in self.partials:
                if segment.name == name:
                    return await self._object(file_key(f"{name}.partial"))
            raise

    async def _pieced(self, segment: WalSegment, pieces: Sequence[Piece]) -> bytes:
        try:
            return await self._assembled(segment, pieces)
        except ObjectNotFoundError:
            # Pieces go once their segment is there: a cluster that lives may have ended it since it was asked for.
            return await self._object(file_key(segment.name))

    async def _assembled(self, segment: WalSegment, pieces: Sequence[Piece]) -> bytes:
        content = bytearray(segment.size_bytes)
        for piece in coverage(pieces):
            content[piece.start : piece.end] = await self._object(piece_key(piece))
        return bytes(content)

    async def _object(self, key: str) -> bytes:
        stored = await self.store.get(key)
        return await asyncio.to_thread(codec.decode_bytes, stored, self.keyring, key)

"""Compresses and encrypts what is stored, and reads it back or says that it is not what was written.

`encode` and `decode` stream: a few frames are under way in threads at a time, in order, whatever the object's size.
`encode_bytes` and `decode_bytes` do the same to small objects, in the calling thread. The form is in `frames`.
"""

from __future__ import annotations

import asyncio
import io
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from outlive.backup.frames import (
    BLOCK_BYTES,
    About,
    Codec,
    Header,
    Seal,
    begin,
    frame_length,
    header_length,
    read_header,
    unseal,
)
from outlive.backup.keys import Keyring
from outlive.errors import ChecksumMismatchError

__all__ = ["Codec", "Header", "decode", "decode_bytes", "encode", "encode_bytes", "peek"]

T = TypeVar("T")
U = TypeVar("U")
UNDER_WAY = 4
"""Frames in threads at a time; each takes some 8 MiB."""
_WORD_BYTES = 4


async def encode(
    chunks: AsyncIterator[bytes], codec: Codec, key_name: str, about: About | None = None
) -> AsyncIterator[bytes]:
    """The object to store under `key_name` for this content."""
    head, seal = begin(codec, key_name, about)
    yield head
    async for frame in _in_threads(_numbered(_blocks(chunks)), lambda item: seal.close(item[0], item[1], last=item[2])):
        yield frame


async def decode(chunks: AsyncIterator[bytes], keyring: Keyring | None, key_name: str) -> AsyncIterator[bytes]:
    """The content of the object stored under `key_name`. Each piece of it is checked before it comes out.

    Raises:
        ChecksumMismatchError: it is not what was written. What came out before is right, and not all of it.
        ConfigurationError: its key is not at hand; told before anything comes out.
    """
    source = _Source(chunks, key_name)
    seal = await source.seal(keyring)
    async for block in _in_threads(source.frames(), lambda item: seal.open(item[0], item[1], last=item[2])):
        if block:
            yield block


def encode_bytes(raw: bytes, codec: Codec, key_name: str, about: About | None = None) -> bytes:
    """The object to store under `key_name` for this content."""
    head, seal = begin(codec, key_name, about)
    starts = range(0, max(1, len(raw)), BLOCK_BYTES)
    frames = (
        seal.close(number, raw[start : start + BLOCK_BYTES], last=start + BLOCK_BYTES >= len(raw))
        for number, start in enumerate(starts)
    )
    return head + b"".join(frames)


def decode_bytes(stored: bytes, keyring: Keyring | None, key_name: str) -> bytes:
    """The content of the object stored under `key_name`.

    Raises:
        ChecksumMismatchError: it is not what was written.
        ConfigurationError: its key is not at hand.
    """
    header, length = read_header(stored, key_name)
    seal = unseal(header, stored[:length], keyring, key_name)
    content = io.BytesIO()  # joined at the end, it would lie in memory twice
    for number, (frame, last) in enumerate(_split(memoryview(stored)[length:], seal)):
        content.write(seal.open(number, bytes(frame), last=last))
    return content.getvalue()


def peek(first: bytes, key_name: str) -> Header:
    """What an object's first 20 KiB say of it: `about` and `key_id`.

    Raises:
        ChecksumMismatchError: they are not the beginning of an object of ours, or damaged.
    """
    return read_header(first, key_name)[0]


def _split(rest: memoryview, seal: Seal) -> Iterator[tuple[memoryview, bool]]:
    position, last = 0, False
    while not last:
        word = rest[position : position + _WORD_BYTES]
        if len(word) < _WORD_BYTES:
            raise seal.mismatch("it was cut short")
        length, last = frame_length(bytes(word), seal.name)
        position += _WORD_BYTES + length
        if position > len(rest):
            raise seal.mismatch("it was cut short")
        yield rest[position - length : position], last
    if position != len(rest):
        raise seal.mismatch("it goes on behind its end")


class _Source:
    """Takes an object apart as its bytes come in."""

    def __init__(self, chunks: AsyncIterator[bytes], name: str) -> None:
        self._chunks = aiter(chunks)
        self._buffer = bytearray()
        self._name = name

    async def seal(self, keyring: Keyring | None) -> Seal:
        """Read the header."""
        while (length := header_length(self._buffer, self._name)) is None or len(self._buffer) < length:
            if not await self._more():
                break
        header, length = read_header(bytes(self._buffer[: length or 0]), self._name)
        head = self._take(length)
        return unseal(header, head, keyring, self._name)

    async def frames(self) -> AsyncIterator[tuple[int, bytes, bool]]:
        """Number, bytes, and whether it is the last, of each frame."""
        number, last = 0, False
        while not last:
            await self._need(_WORD_BYTES)
            length, last = frame_length(self._take(_WORD_BYTES), self._name)
            await self._need(length)
            yield number, self._take(length), last
            number += 1
        if self._buffer or await self._more():
            raise ChecksumMismatchError(f"{self._name} is not what was written: it goes on behind its end")

    async def _need(self, length: int) -> None:
        while len(self._buffer) < length:
            if not await self._more():
                raise ChecksumMismatchError(f"{self._name} is not what was written: it was cut short")

    async def _more(self) -> bool:
        async for chunk in self._chunks:
            if chunk:
                self._buffer += chunk
                return True
        return False

    def _take(self, length: int) -> bytes:
        with memoryview(self._buffer) as buffer:
            taken = bytes(buffer[:length])
        del self._buffer[:length]
        return taken


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in blocks of one size. A chunk of just that size is passed on as it is, without a copy."""
    pieces: list[bytes] = []
    missing = BLOCK_BYTES
    async for chunk in chunks:
        start = 0
        while len(chunk) - start >= missing:
            pieces.append(chunk[start : start + missing])
            yield b"".join(pieces)
            start, missing = start + missing, BLOCK_BYTES
            pieces.clear()
        if start < len(chunk):
            pieces.append(chunk[start:])
            missing -= len(chunk) - start
    if pieces:
        yield b"".join(pieces)


async def _numbered(blocks: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes, bool]]:
    """Each block with its number, and whether it is the last; an empty one where there is none."""
    number = 0
    waiting = await anext(blocks, b"")
    async for block in blocks:
        yield number, waiting, False
        number, waiting = number + 1, block
    yield number, waiting, True


async def _in_threads(items: AsyncIterator[T], work: Callable[[T], U]) -> AsyncIterator[U]:
    """The results of `work`, in order, `UNDER_WAY` of them being worked on at most."""
    running: deque[asyncio.Task[U]] = deque()
    try:
        async for item in items:
            running.append(asyncio.create_task(asyncio.to_thread(work, item)))
            if len(running) >= UNDER_WAY:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

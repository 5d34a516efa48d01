"""What was written is read, and nothing else is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlive.backup import codec as codecs
from outlive.backup import frames
from outlive.backup.codec import Codec, decode_bytes, encode_bytes
from outlive.backup.frames import BLOCK_BYTES
from outlive.backup.keys import Keyring
from outlive.errors import ChecksumMismatchError, ConfigurationError

KEYRING = Keyring.of(b"k" * 32)
OTHER = Keyring.of(b"o" * 32)
CODECS = st.sampled_from([Codec(), Codec(keyring=KEYRING)])
CONTENT = st.binary(max_size=300)
LARGE = os.urandom(BLOCK_BYTES * 2 + 5)
NAME = "backups/20261124T225000Z-full/base.tar"


async def _chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def encoded(raw: bytes, codec: Codec, size: int, name: str = NAME) -> bytes:
    """Through the streaming face."""

    async def collect() -> bytes:
        return b"".join([chunk async for chunk in codecs.encode(_chunks(raw, size), codec, name)])

    return asyncio.run(collect())


def decoded(stored: bytes, keyring: Keyring | None, size: int, name: str = NAME) -> bytes:
    """Through the streaming face."""

    async def collect() -> bytes:
        return b"".join([chunk async for chunk in codecs.decode(_chunks(stored, size), keyring, name)])

    return asyncio.run(collect())


@given(CONTENT, CODECS, st.integers(1, 400), st.integers(1, 400))
@settings(deadline=None)
def test_content_comes_back(raw: bytes, codec: Codec, write_size: int, read_size: int) -> None:
    """By either face, however it is cut on the way in and out."""
    assert decode_bytes(encoded(raw, codec, write_size), KEYRING, NAME) == raw
    assert decoded(encode_bytes(raw, codec, NAME), KEYRING, read_size) == raw


@given(CONTENT, CODECS, st.data())
@settings(deadline=None, max_examples=300)
def test_any_flipped_bit_is_found(raw: bytes, codec: Codec, data: st.DataObject) -> None:
    """Wherever it is: in the magic, the header, a length, a frame."""
    stored = bytearray(encode_bytes(raw, codec, NAME, {"at": "2026-11-24T22:50:00Z"}))
    place = data.draw(st.integers(0, len(stored) - 1))
    stored[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ChecksumMismatchError):
        decode_bytes(bytes(stored), KEYRING, NAME)
    with pytest.raises(ChecksumMismatchError):
        decoded(bytes(stored), KEYRING, 50)


@given(CONTENT, CODECS, st.data())
@settings(deadline=None)
def test_any_cut_and_any_addition_is_found(raw: bytes, codec: Codec, data: st.DataObject) -> None:
    """No prefix of an object is one, and neither is one with something behind it."""
    stored = encode_bytes(raw, codec, NAME)
    cut = stored[: data.draw(st.integers(0, len(stored) - 1))]
    for wrong in (cut, stored + data.draw(st.binary(min_size=1, max_size=40)), stored + stored):
        with pytest.raises(ChecksumMismatchError):
            decode_bytes(wrong, KEYRING, NAME)
        with pytest.raises(ChecksumMismatchError):
            decoded(wrong, KEYRING, 50)


@given(CONTENT, CODECS)
@settings(deadline=None)
def test_another_name_is_found(raw: bytes, codec: Codec) -> None:
    """The same bytes under another object's name."""
    with pytest.raises(ChecksumMismatchError):
        decode_bytes(encode_bytes(raw, codec, NAME), KEYRING, "backups/20261124T225000Z-full/pg_manifest")


@pytest.mark.parametrize("codec", [Codec(), Codec(keyring=KEYRING)])
def test_frames_stay_in_their_places(codec: Codec) -> None:
    """Exchanged, doubled, left out, the last one missing, or taken from a second object of the same name."""
    stored, second = (encode_bytes(LARGE, codec, NAME, {"n": number}) for number in (1, 2))
    head, pieces = _apart(stored)
    _, others = _apart(second)
    assert len(pieces) == 3
    for wrong in (
        [pieces[1], pieces[0], pieces[2]],
        [pieces[0], pieces[0], pieces[1], pieces[2]],
        [pieces[0], pieces[2]],
        pieces[:2],
        [others[0], *pieces[1:]],
    ):
        with pytest.raises(ChecksumMismatchError):
            decode_bytes(head + b"".join(wrong), KEYRING, NAME)
    assert decode_bytes(head + b"".join(pieces), KEYRING, NAME) == LARGE


def _apart(stored: bytes) -> tuple[bytes, list[bytes]]:
    _, position = frames.read_header(stored, NAME)
    head, pieces = stored[:position], []
    while position < len(stored):
        length, _ = frames.frame_length(stored[position : position + 4], NAME)
        pieces.append(stored[position : position + 4 + length])
        position += 4 + length
    return head, pieces


@pytest.mark.parametrize("keyring", [None, OTHER])
def test_a_wrong_key_is_told_at_once(keyring: Keyring | None) -> None:
    """By the key's name, before anything is decoded, and without the key itself."""
    stored = encode_bytes(b"content", Codec(keyring=KEYRING), NAME)
    with pytest.raises(ConfigurationError, match=KEYRING.writing.id) as caught:
        decoded(stored[:200], keyring, 50)
    assert "kkkk" not in str(caught.value)
    assert "kkkk" not in repr(KEYRING)


def test_an_old_key_still_reads() -> None:
    """The first key writes, the others read what was written before them."""
    stored = encode_bytes(b"content", Codec(keyring=OTHER), NAME)
    both = Keyring((*KEYRING.keys, *OTHER.keys))
    assert decode_bytes(stored, both, NAME) == b"content"
    assert Codec(keyring=both).key_id == KEYRING.writing.id


def test_the_header_is_read_alone() -> None:
    """What a writer said about an object is there without reading the object, and without the key."""
    stored = encode_bytes(LARGE, Codec(keyring=KEYRING), NAME, {"at": "now", "raw_bytes": len(LARGE)})
    header = codecs.peek(stored[:4096], NAME)
    assert (header.key_id, header.about) == (KEYRING.writing.id, {"at": "now", "raw_bytes": len(LARGE)})
    assert b"content" not in encode_bytes(b"content" * 9, Codec(keyring=KEYRING), NAME)


def test_a_long_run_of_zeros_takes_little_memory() -> None:
    """Each frame holds at most a block of content: nobody has to unpack more than that at a time."""
    stored = encode_bytes(bytes(BLOCK_BYTES * 5), Codec(), NAME)

    async def sizes() -> list[int]:
        return [len(block) async for block in codecs.decode(_chunks(stored, 1 << 20), None, NAME)]

    assert asyncio.run(sizes()) == [BLOCK_BYTES] * 5

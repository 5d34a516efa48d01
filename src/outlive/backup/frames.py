"""The form of a stored object: a header, then frames, each whole by itself. Pure, but for the data key's chance.

    magic "OUTLIVE\\1" | header's length, 4 bytes | header, JSON | CRC-32 of all before
    frame's length, 4 bytes, the highest bit set on the last one | frame | ... nothing after the last one

A frame is at most 4 MiB of the content, compressed by itself (so that frames go through several threads, and nobody
who reads needs more memory than for a few of them), then sealed: encrypted by AES-256-GCM, or followed by a BLAKE2b
of 16 bytes. What is sealed in besides: the object's name, the header, the frame's number and whether it is the last.
So a flipped byte, a cut, an exchange of frames or of objects, a frame left out or doubled don't pass.

Each object has a data key of its own, wrapped by the master key; hence a frame's number is a nonce that never returns.
Source: NIST SP 800-38D, section 8.2.1 (deterministic nonces).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from outlive.backup.keys import KEY_BYTES, Keyring, require_key
from outlive.errors import ChecksumMismatchError, ConfigurationError

MAGIC = b"OUTLIVE\x01"
VERSION = 1
BLOCK_BYTES = 4 * 1024 * 1024
HEADER_LIMIT_BYTES = 16 * 1024
FRAME_LIMIT_BYTES = BLOCK_BYTES + 64 * 1024
LEVEL = 1
LAST = 1 << 31
_DIGEST_BYTES = 16
_NONCE_BYTES = 12
_START = struct.Struct(">8sI")
_WORD = struct.Struct(">I")

About = Mapping[str, str | int]
"""What a writer says of an object in its header: readable by whoever can read the store, and not to be changed."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How to write: zstd's level, and the keys if it is to be encrypted."""

    level: int = LEVEL
    keyring: Keyring | None = None

    @property
    def key_id(self) -> str | None:
        """The name of the key that encrypts."""
        return self.keyring.writing.id if self.keyring else None


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands before the frames."""

    v: int
    key_id: str | None = None
    wrapped: str | None = None
    about: dict[str, str | int] = {}


@dataclass(frozen=True, slots=True)
class Seal:
    """Closes and opens the frames of one object. May be used by several threads at a time."""

    name: str
    binding: bytes
    level: int = LEVEL
    data_key: bytes | None = field(default=None, repr=False)

    def close(self, number: int, block: bytes, *, last: bool) -> bytes:
        """A frame with its length, ready to be written."""
        packed = _compressor(self.level).compress(block)
        bound = self._bound(number, last=last)
        if self.data_key is None:
            sealed, digest = packed, _digest(bound, packed)
        else:
            sealed, digest = AESGCM(self.data_key).encrypt(_nonce(number), packed, bound), b""
        length = len(sealed) + len(digest)
        return b"".join((_WORD.pack(length | (LAST if last else 0)), sealed, digest))

    def open(self, number: int, frame: bytes, *, last: bool) -> bytes:
        """The block that a frame holds.

        Raises:
            ChecksumMismatchError: it is not what was written at this place.
        """
        packed = self._unsealed(number, frame, self._bound(number, last=last))
        try:
            return zstandard.ZstdDecompressor().decompress(packed, max_output_size=BLOCK_BYTES)
        except zstandard.ZstdError as error:
            raise self.mismatch(f"frame {number} can't be decompressed: {error}") from None

    def mismatch(self, reason: str) -> ChecksumMismatchError:
        """The error about this object."""
        return ChecksumMismatchError(f"{self.name} is not what was written: {reason}")

    def _unsealed(self, number: int, frame: bytes, bound: bytes) -> bytes:
        if self.data_key is not None:
            try:
                return AESGCM(self.data_key).decrypt(_nonce(number), frame, bound)
            except (InvalidTag, ValueError):
                raise self.mismatch(f"frame {number} is damaged, or not of this place") from None
        packed, digest = frame[:-_DIGEST_BYTES], frame[-_DIGEST_BYTES:]
        if not hmac.compare_digest(digest, _digest(bound, packed)):
            raise self.mismatch(f"frame {number} is damaged, or not of this place")
        return packed

    def _bound(self, number: int, *, last: bool) -> bytes:
        return self.binding + struct.pack(">Q?", number, last)


def begin(codec: Codec, name: str, about: About | None = None) -> tuple[bytes, Seal]:
    """The bytes before the first frame, and the seal for the frames of a new object.

    Raises:
        ConfigurationError: `about` is too long.
    """
    data_key = secrets.token_bytes(KEY_BYTES) if codec.keyring else None
    wrapped = base64.b64encode(_wrap(codec.keyring, data_key, name)).decode() if codec.keyring and data_key else None
    encoded = msgspec.json.encode(Header(VERSION, codec.key_id, wrapped, dict(about or {})))
    if len(encoded) > HEADER_LIMIT_BYTES:
        raise ConfigurationError(f"what is said about {name} is too long: {len(encoded)} bytes")
    start = _START.pack(MAGIC, len(encoded)) + encoded
    return start + _WORD.pack(zlib.crc32(start)), Seal(name, _binding(name, encoded), codec.level, data_key)


def read_header(first: bytes, name: str) -> tuple[Header, int]:
    """The header from an object's first bytes, and how many of them it takes; 20 KiB are always enough.

    Raises:
        ChecksumMismatchError: they are not the beginning of an object of ours, or it is damaged.
        ConfigurationError: it was written by a later release.
    """
    length = header_length(first, name)
    if length is None or len(first) < length:
        raise ChecksumMismatchError(f"{name} is not what was written: it ends within its header")
    body, crc = first[: length - _WORD.size], first[length - _WORD.size : length]
    if _WORD.pack(zlib.crc32(body)) != crc:
        raise ChecksumMismatchError(f"{name} is not what was written: its header is damaged")
    header = _decoded(body[_START.size :], name)
    if header.v > VERSION:
        raise ConfigurationError(f"{name} was written by a later release of Outlive", hint="Bring this one up to date.")
    return header, length


def header_length(first: bytes | bytearray, name: str) -> int | None:
    """How many bytes the header takes; None while too few are there to tell.

    Raises:
        ChecksumMismatchError: these are not the first bytes of an object of ours.
    """
    if len(first) < _START.size:
        return None
    magic, length = _START.unpack_from(first)
    if magic != MAGIC or length > HEADER_LIMIT_BYTES:
        raise ChecksumMismatchError(f"{name} is not what was written: it has no header of ours")
    return _START.size + int(length) + _WORD.size


def unseal(header: Header, head: bytes, keyring: Keyring | None, name: str) -> Seal:
    """The seal for reading an object with this header, whose bytes are `head`.

    Raises:
        ConfigurationError: its key is not at hand.
        ChecksumMismatchError: it belongs to another name.
    """
    encoded = head[_START.size : -_WORD.size]
    key = require_key(keyring, header.key_id, name)
    if key is None:
        return Seal(name, _binding(name, encoded))
    try:
        wrapped = base64.b64decode(header.wrapped or "", validate=True)
        data_key = AESGCM(key.secret).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], name.encode())
    except (InvalidTag, ValueError, binascii.Error):
        raise ChecksumMismatchError(
            f"{name} is not what was written: its data key is of another object, or damaged"
        ) from None
    return Seal(name, _binding(name, encoded), data_key=data_key)


def frame_length(word: bytes, name: str) -> tuple[int, bool]:
    """How long the next frame is, and whether it is the last.

    Raises:
        ChecksumMismatchError: no frame of ours is that long.
    """
    (value,) = _WORD.unpack(word)
    length = value & ~LAST
    if length > FRAME_LIMIT_BYTES or length < _DIGEST_BYTES:
        raise ChecksumMismatchError(f"{name} is not what was written: a frame of {length} bytes is none of ours")
    return length, bool(value & LAST)


class _Compressors(threading.local):
    """The compressors of one thread, by level: making one anew for each frame costs a tenth of the compression."""

    def __init__(self) -> None:
        self.by_level: dict[int, zstandard.ZstdCompressor] = {}


_compressors = _Compressors()


def _compressor(level: int) -> zstandard.ZstdCompressor:
    kept = _compressors.by_level
    if level not in kept:
        kept[level] = zstandard.ZstdCompressor(level=level)
    return kept[level]


def _decoded(encoded: bytes, name: str) -> Header:
    try:
        return msgspec.json.decode(encoded, type=Header)
    except msgspec.MsgspecError as error:
        raise ChecksumMismatchError(f"{name} is not what was written: its header says nothing: {error}") from None


def _wrap(keyring: Keyring, data_key: bytes, name: str) -> bytes:
    # The nonce is random: one master key wraps far fewer than the 2^32 objects that this allows.
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(keyring.writing.secret).encrypt(nonce, data_key, name.encode())


def _binding(name: str, header: bytes) -> bytes:
    return hashlib.sha256(struct.pack(">I", len(header)) + header + name.encode()).digest()


def _nonce(number: int) -> bytes:
    return number.to_bytes(_NONCE_BYTES, "big")


def _digest(bound: bytes, packed: bytes) -> bytes:
    return hashlib.blake2b(packed, digest_size=_DIGEST_BYTES, key=bound[:41]).digest()

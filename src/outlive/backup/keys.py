"""The keys that backups are encrypted with: 32 bytes, from the environment or a file, never from a command line.

    OUTLIVE_BACKUP_KEY        keys in base64 or hex, commas between
    OUTLIVE_BACKUP_KEY_FILE   a file with one key a line; lines that begin with # are left out

The first key encrypts; all of them decrypt, so that a key can be changed and old backups stay readable.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from outlive.errors import ConfigurationError

KEY = "OUTLIVE_BACKUP_KEY"
KEY_FILE = "OUTLIVE_BACKUP_KEY_FILE"
KEY_BYTES = 32
_HINT = "`openssl rand -base64 32` makes one. Keep a copy away from the backups: without it they are lost."


@dataclass(frozen=True, slots=True)
class Key:
    """A master key and its public name: the first 16 hexadecimal digits of its SHA-256."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Its name, in manifests and headers; it doesn't help to find the key."""
        return hashlib.sha256(self.secret).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Keyring:
    """At least one key; the first one encrypts."""

    keys: tuple[Key, ...]

    @property
    def writing(self) -> Key:
        """The key that encrypts."""
        return self.keys[0]

    def find(self, key_id: str) -> Key | None:
        """The key of this name."""
        return next((key for key in self.keys if key.id == key_id), None)

    @classmethod
    def of(cls, *secrets: bytes) -> Self:
        """From bare keys."""
        return cls(tuple(Key(secret) for secret in secrets))


def load_keyring(file: Path | None = None, environment: Mapping[str, str] | None = None) -> Keyring | None:
    """The keys of `file`, else those that the environment names; None where neither does.

    Raises:
        ConfigurationError: the file can't be read, or something is no key. The message repeats nothing of it.
    """
    environment = os.environ if environment is None else environment
    if file is None and environment.get(KEY):
        return _keyring(environment[KEY].split(","), KEY)
    named = file or (Path(environment[KEY_FILE]) if environment.get(KEY_FILE) else None)
    if named is None:
        return None
    try:
        lines = named.read_text().splitlines()
    except OSError as error:
        raise ConfigurationError(f"the key file {named} can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"the key file {named} holds no text", hint=_HINT) from None
    return _keyring([line for line in lines if not line.lstrip().startswith("#")], str(named))


def require_key(keyring: Keyring | None, key_id: str | None, what: str) -> Key | None:
    """The key that `what` was encrypted with; None where it was not encrypted.

    Raises:
        ConfigurationError: that key is not at hand.
    """
    if key_id is None:
        return None
    if keyring is None:
        raise ConfigurationError(
            f"{what} is encrypted with key {key_id}, and no key was given",
            hint=f"Give it by --key-file, {KEY_FILE} or {KEY}.",
        )
    found = keyring.find(key_id)
    if found is None:
        given = ", ".join(key.id for key in keyring.keys)
        raise ConfigurationError(
            f"{what} is encrypted with key {key_id}, which is not the one given ({given})",
            hint="Give the key that it was written with; a key file may hold several.",
        )
    return found


def _keyring(texts: list[str], where: str) -> Keyring:
    keys = tuple(Key(_decode(text.strip(), where)) for text in texts if text.strip())
    if not keys:
        raise ConfigurationError(f"{where} holds no key", hint=_HINT)
    return Keyring(keys)


def _decode(text: str, where: str) -> bytes:
    try:
        if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
            return bytes.fromhex(text)
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise ConfigurationError(f"{where} is not a key of {KEY_BYTES} bytes in base64 or hex", hint=_HINT)
    return secret

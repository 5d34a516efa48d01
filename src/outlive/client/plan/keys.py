"""Keys that make a request be applied once, and the texts that claim, find and settle them.

The key's row is written in the same transaction as the request, in its first message. Whoever comes second waits,
inside the server, until the first one has ended: then the row is either there (done before) or it is not (never
applied, and it never will be). Nothing is ever concluded from a SELECT alone: right after a lost connection a
commit that is still pending can't be seen.

A row that is found is locked, which the server has to log: so the COMMIT of the one that found it waits for a
synchronous standby, and a commit that the standbys have not got is not taken for acknowledged.

A UUIDv7 and its text are one key, in a table where old days are refused; other texts are kept in a table of their own.

Source: RFC 9562, section 5.7 (UUIDv7); PostgreSQL documentation, "INSERT", ON CONFLICT.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from outlive.client.plan.begin import fence, quoted
from outlive.errors import ConfigurationError, KeyExpiredError, UnstorableError
from outlive.model.identifiers import uuid7
from outlive.model.lsn import Timeline

MAX_KEY_LENGTH = 500
MAX_RESULT_BYTES = 8 * 1024 * 1024

KEY_TYPES = {"outlive.keys": "pg_catalog.uuid", "outlive.text_keys": "pg_catalog.text"}
"""The tables of keys, and what a key is in each."""

CLAIMED = "INSERT 0 1"
"""The answer to a claim of a key that was free."""

_UUID = re.compile(r"[0-9A-Fa-f]{8}(-?)[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{12}")
_JSON = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_KEY_HINT = "It is a UUIDv7 (`outlive.new_key()`), or a string of your own of 1 to 500 characters."


@dataclass(frozen=True, slots=True)
class Key:
    """A key and what it is asked for; `request` is empty where nothing tells one request from another."""

    value: UUID | str
    request: bytes

    @property
    def table(self) -> str:
        """The table that keeps it."""
        return "outlive.keys" if isinstance(self.value, UUID) else "outlive.text_keys"

    @property
    def claim(self) -> str:
        """The statement that takes the key: its tag is `CLAIMED`, unless a committed request has it."""
        return f"INSERT INTO {self.table} (key, request) VALUES {self.constants} ON CONFLICT DO NOTHING"  # noqa: S608

    @property
    def constants(self) -> str:
        """The key and its request as SQL has them."""
        request = f"\\x{self.request.hex()}"
        return f"({quoted(str(self.value))},{quoted(request)})"

    @property
    def find(self) -> str:
        """The query for the row of a key that was taken: request and result, locked."""
        return f"SELECT request, result::text AS result FROM {self.table} WHERE key = $1 FOR SHARE"  # noqa: S608

    def commit(self, result: str | None) -> str:
        """The last message: stores the result's JSON text, if there is one, and commits."""
        if result is None:
            return "COMMIT"
        row = f"{self.table} SET result = {quoted(result)} WHERE key = {quoted(str(self.value))}"
        return f"UPDATE {row};COMMIT"


@dataclass(frozen=True, slots=True)
class Done:
    """The request was applied before; `result` is the JSON text of what it returned."""

    result: str | None


@lru_cache(maxsize=64)
def guarded_claim(
    table: str, timeline: Timeline, synchronous_names: str | None, *, first: int = 1, yields: bool = False
) -> str:
    """The statement that takes a key and refuses as the fence does.

    The key and its request are the parameters `first` and the one after it. A key that is taken fails with 23505, or
    gives another tag than `CLAIMED` if the statement `yields`.
    """
    return (
        f"INSERT INTO {table} (key, request) SELECT ${first}::{KEY_TYPES[table]}, ${first + 1}::pg_catalog.bytea "
        f"WHERE ({fence(timeline, synchronous_names)}) = 0{' ON CONFLICT DO NOTHING' if yields else ''}"
    )


def checked_key(value: object) -> UUID | str:
    """A key as it is stored.

    Raises:
        ConfigurationError: it is none.
    """
    match value:
        case UUID():
            return _time_ordered(value)
        case str():
            return _from_text(value)
        case _:
            raise ConfigurationError(f"a key can't be {value!r}, a {type(value).__name__}", hint=_KEY_HINT)


def _time_ordered(key: UUID) -> UUID:
    if key.int >> 76 & 0xF != 7 or key.int >> 62 & 0b11 != 0b10:  # version and variant, as the properties are slow
        raise ConfigurationError(
            f"the key {key} is a UUID of another version than 7",
            hint="Only version 7 begins with the time. Pass its text, `str(key)`, to use it as a string of your own.",
        )
    return key


def _from_text(text: str) -> UUID | str:
    if not 0 < len(text) <= MAX_KEY_LENGTH:
        raise ConfigurationError(f"a key can't have {len(text)} characters", hint=_KEY_HINT)
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigurationError(f"the key {text!r} holds a NUL or half of a surrogate pair", hint=_KEY_HINT)
    if _UUID.fullmatch(text) and UUID(text).version == 7:
        return UUID(text)
    return text


def made_at(key: UUID) -> datetime:
    """The moment that a UUIDv7 begins with."""
    return datetime.fromtimestamp((key.int >> 80) / 1000, UTC)


def new_key(at: datetime, chance: int) -> UUID:
    """A UUIDv7 of the moment `at`; `chance` is 74 random bits."""
    return uuid7(int(at.timestamp() * 1000), chance)


def refusal(key: UUID, verdict: str) -> Exception:
    """The error for a key that the database admits no more, or not yet."""
    if verdict == "expired":
        return KeyExpiredError(
            f"the key {key} was made at {made_at(key):%Y-%m-%d %H:%M} UTC, and that day is forgotten"
        )
    return ConfigurationError(
        f"the key {key} says that it was made at {made_at(key):%Y-%m-%d %H:%M} UTC, which is in the server's future",
        hint="Set the clock that made it right, or use a string of your own as the key.",
    )


def encode_result(result: object) -> str | None:
    """The JSON text to store, ASCII only; None stands for None.

    Raises:
        UnstorableError: JSON has no form for it, or it is too large.
    """
    if result is None:
        return None
    try:
        text = _JSON.encode(result)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnstorableError(
            f"what a run with a key returns is stored as JSON: {error}",
            hint="Return what JSON has a form for, or None.",
        ) from None
    if len(text) > MAX_RESULT_BYTES:
        raise UnstorableError(
            f"the result has {len(text):,} bytes of JSON, the limit is {MAX_RESULT_BYTES:,} bytes",
            hint="Store it in a table of yours, and return a reference to it.",
        )
    return text


def decode_result(text: str | None) -> object:
    """What the stored text stands for."""
    return None if text is None else json.loads(text)

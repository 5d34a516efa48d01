"""Values as the JSON text that is stored, byte for byte what comes back; what would not come back is refused."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from outlive.errors import UnstorableError

MAX_VALUE_BYTES = 8 * 1024 * 1024
"""The most bytes of JSON that one turn, state, result or argument list may have, unless told otherwise."""

MAX_NAME_LENGTH = 500
"""The most characters of an id or key."""

MAX_ERROR_LENGTH = 2000
"""The most characters that are kept of an error."""


_STRING_OR_LARGE = re.compile(r'"(?:[^"\\]|\\.)*"|(-?[0-9.]+e\+[0-9]+)')

_decode = msgspec.json.Decoder().decode


def encode(value: object, what: str, max_bytes: int = MAX_VALUE_BYTES) -> str:
    """The JSON text of `value`, keys in their own order; `what` names it in an error.

    Tuples are stored as lists. Refused are NUL characters (PostgreSQL's text can't hold them), lone surrogates,
    NaN and infinity, keys that are not strings (JSON would turn them into strings) and anything JSON has no form for.

    Raises:
        UnstorableError: with the place inside the value, or its size in bytes.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        place = _place_of_no_json(value)
        raise UnstorableError(f"{what} can't be stored as JSON: {place}{error}") from None
    for flaw in _flaws(value, "$"):
        raise UnstorableError(f"{what} can't be stored: {flaw}")
    return _bounded(text, what, max_bytes)


def encode_object(value: object, what: str, max_bytes: int = MAX_VALUE_BYTES) -> str:
    """The JSON text of a mapping for a column of jsonb, where floats stay floats; None is an empty one.

    Raises:
        UnstorableError: it is no mapping, or can't be kept as it is.
    """
    if value is not None and not isinstance(value, Mapping):
        raise UnstorableError(f"{what} must be a dictionary, not {type(value).__name__}")
    text = encode(dict(value or {}), what, max_bytes)
    return _bounded(spelled_out(text), what, max_bytes) if "e+" in text else text


def spelled_out(text: str) -> str:
    """The same JSON with large floats written without an exponent, and with a fraction.

    jsonb keeps a number's value and how many places its fraction has: `1e+16` comes back as 10000000000000000, which
    is an integer to a reader, and `10000000000000000.0` as it was.
    """
    return _STRING_OR_LARGE.sub(lambda found: f"{Decimal(found[1]):f}.0" if found[1] else found[0], text)


def _bounded(text: str, what: str, max_bytes: int) -> str:
    size_bytes = len(text.encode())
    if size_bytes > max_bytes:
        raise UnstorableError(
            f"{what} has {size_bytes:,} bytes of JSON, the limit is {max_bytes:,} bytes",
            hint="Keep large content elsewhere and store a reference to it, or raise max_value_bytes of AgentState.",
        )
    return text


def decode(text: str) -> Any:
    """The value of stored JSON text."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return json.loads(text)  # which is four times slower, and reads what something else may have stored: 1e400


def decode_all(texts: Sequence[str]) -> list[Any]:
    """The values of several stored texts, read as one where that goes."""
    try:
        values: list[Any] = _decode(f"[{','.join(texts)}]")
    except (msgspec.DecodeError, RecursionError):
        values = [decode(text) for text in texts]
    return values


def digest(text: str) -> bytes:
    """The SHA-256 of stored text: two requests are the same request when theirs are equal."""
    return hashlib.sha256(text.encode()).digest()


def checked_name(name: object, what: str) -> str:
    """An id or key that the database can hold.

    Raises:
        UnstorableError: it is not a string of 1 to 500 characters without NUL and lone surrogates.
    """
    if not isinstance(name, str):
        raise UnstorableError(f"{what} must be a string, not {type(name).__name__}")
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        raise UnstorableError(f"{what} must have 1 to {MAX_NAME_LENGTH} characters, this one has {len(name)}")
    for flaw in _flaws(name, "it"):
        raise UnstorableError(f"{what} can't be stored: {flaw}")
    return name


def checked_names(names: Iterable[object], what: str) -> list[str]:
    """Several ids or keys that the database can hold.

    Raises:
        UnstorableError: one can't be kept as it is, or one string was given where several are wanted.
    """
    if isinstance(names, str):
        raise UnstorableError(f"several were expected, not one string: {names!r}", hint=f"Say [{names!r}].")
    return [checked_name(name, what) for name in names]


def describe(error: Exception | str) -> str:
    """An error as the text that is kept of it."""
    text = (error if isinstance(error, str) else f"{type(error).__name__}: {error}").replace("\0", "\\0")
    return text.encode(errors="replace").decode()[:MAX_ERROR_LENGTH]


def _place_of_no_json(value: object) -> str:
    """Where in a value the first thing stands that JSON has no form for, to begin a sentence with."""
    try:
        return next((f"{place}: " for place in _no_json(value, "$")), "")
    except RecursionError:
        return ""


def _no_json(value: object, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _no_json(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _no_json(inner, f"{place}[{index}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield place
    elif not isinstance(value, str | int | None):
        yield place


def _flaws(value: object, place: str) -> Iterator[str]:
    if isinstance(value, str):
        if "\0" in value:
            yield f"{place} holds a NUL character"
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            yield f"{place} holds half of a surrogate pair"
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                yield f"{place} has the key {key!r}, which is not a string"
            yield from _flaws(key, f"a key of {place}")
            yield from _flaws(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _flaws(inner, f"{place}[{index}]")

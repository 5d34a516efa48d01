"""What tells one request from another with the same key: a hash of the function's name and its arguments.

The name is the function's `__qualname__`, without its module, which is another one where the same file is run as a
program. What a closure or a bound method holds is not part of it. Equal arguments have equal hashes whatever the
order of a dict's keys; a tuple is a list; 1, 1.0 and True are three different arguments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from uuid import UUID

from outlive.errors import ConfigurationError

NO_REQUEST = b""
"""For what has no function and no arguments."""


def request_hash(fn: Callable[..., object], args: Sequence[object]) -> bytes:
    """32 bytes.

    Raises:
        ConfigurationError: an argument is of a type that has no canonical form.
    """
    name, args = _named(fn, args)
    listed = [_canonical(argument, f"argument {number}") for number, argument in enumerate(args, 1)]
    return hashlib.sha256(_text(name) + _list(listed)).digest()


def statements_hash(statements: Sequence[tuple[str, Sequence[object]]]) -> bytes:
    """The same for a batch of statements with their arguments."""
    listed = [_text(sql) + _canonical(args, "an argument") for sql, args in statements]
    return hashlib.sha256(b"batch" + _list(listed)).digest()


def _named(fn: Callable[..., object], args: Sequence[object]) -> tuple[str, Sequence[object]]:
    if isinstance(fn, partial):
        return _named(fn.func, [*fn.args, dict(fn.keywords), *args])
    return getattr(fn, "__qualname__", None) or type(fn).__qualname__, args


def _text(text: str) -> bytes:
    # Its length goes first, so that what follows can't be taken for a part of it.
    data = text.encode("utf-8", "surrogatepass")
    return b"s%d:%b" % (len(data), data)


def _list(items: Sequence[bytes]) -> bytes:
    return b"l%d:%b" % (len(items), b"".join(items))


def _typed(kind: str, content: bytes) -> bytes:
    return b"t%b%b" % (_text(kind), content)


def _canonical(value: object, place: str) -> bytes:
    """Bytes that are another value's only if it is the same; none begin as another one's do."""
    match value:
        case str():
            return _text(value)
        case None | bool():
            return b"c%b" % repr(value)[:1].encode()
        case Enum():
            return _typed("enum", _text(type(value).__qualname__) + _text(value.name))
        case int() | float() | Decimal() | UUID() | timedelta():
            return _typed(type(value).__name__, _text(repr(value)))
        case datetime() | date() | time():
            return _typed(type(value).__name__, _text(value.isoformat()))
        case bytes() | bytearray() | memoryview():
            return _typed("bytes", _text(bytes(value).hex()))
        case _:
            return _composed(value, place)


def _composed(value: object, place: str) -> bytes:
    match value:
        case list() | tuple():
            return _list([_canonical(inner, place) for inner in value])
        case Mapping():
            items = [_canonical(key, place) + _canonical(inner, place) for key, inner in value.items()]
            return _typed("map", _list(sorted(items)))
        case set() | frozenset():
            return _typed("set", _list(sorted(_canonical(inner, place) for inner in value)))
        case _ if is_dataclass(value) and not isinstance(value, type):
            inner = [_text(field.name) + _canonical(getattr(value, field.name), place) for field in fields(value)]
            return _typed(type(value).__qualname__, _list(sorted(inner)))
        case _:
            raise ConfigurationError(
                f"{place} is a {type(value).__name__}, which can't be told from another one by its content",
                hint="With a key, pass plain values: numbers, texts, bytes, times, lists, dicts, dataclasses.",
            )


def of_tenant(request: bytes, tenant: str) -> bytes:
    """What tells a tenant's request from the same one of another tenant with the same key."""
    return hashlib.sha256(tenant.encode() + b"\0" + request).digest()

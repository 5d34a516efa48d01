"""What tells one request from another with the same key: a hash of the function's name and its arguments.

The name is the function's `__qualname__`, without its module, which is another one where the same file is run as a
program. What a closure or a bound method holds is not part of it. Equal arguments have equal hashes whatever the
order of a dict's keys; a tuple is a list; 1, 1.0 and True are three different arguments.
"""

from __future__ import annotations

import hashlib
import json
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
    return hashed(name, [_canonical(argument, f"argument {number}") for number, argument in enumerate(args, 1)])


def statements_hash(statements: Sequence[tuple[str, Sequence[object]]]) -> bytes:
    """The same for a batch of statements with their arguments."""
    return hashed("batch", [[sql, _canonical(list(args), "an argument")] for sql, args in statements])


def hashed(name: str, arguments: object) -> bytes:
    """32 bytes of a name and canonical arguments."""
    text = json.dumps([name, arguments], separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


def _named(fn: Callable[..., object], args: Sequence[object]) -> tuple[str, Sequence[object]]:
    if isinstance(fn, partial):
        return _named(fn.func, [*fn.args, dict(fn.keywords), *args])
    return getattr(fn, "__qualname__", None) or type(fn).__qualname__, args


def _canonical(value: object, place: str) -> object:
    match value:
        case None | bool() | str():
            return value
        case Enum():
            return {"enum": [type(value).__qualname__, value.name]}
        case int() | float() | Decimal() | UUID() | timedelta():
            return {type(value).__name__: repr(value)}
        case datetime() | date() | time():
            return {type(value).__name__: value.isoformat()}
        case bytes() | bytearray() | memoryview():
            return {"bytes": bytes(value).hex()}
        case Mapping():
            items = [[_canonical(key, place), _canonical(inner, place)] for key, inner in value.items()]
            return {"map": sorted(items, key=repr)}
        case list() | tuple():
            return [_canonical(inner, place) for inner in value]
        case set() | frozenset():
            return {"set": sorted((_canonical(inner, place) for inner in value), key=repr)}
        case _ if is_dataclass(value) and not isinstance(value, type):
            inner = {field.name: _canonical(getattr(value, field.name), place) for field in fields(value)}
            return {type(value).__qualname__: inner}
        case _:
            raise ConfigurationError(
                f"{place} is a {type(value).__name__}, which can't be told from another one by its content",
                hint="With a key, pass plain values: numbers, texts, bytes, times, lists, dicts, dataclasses.",
            )


def of_tenant(request: bytes, tenant: str) -> bytes:
    """What tells a tenant's request from the same one of another tenant with the same key."""
    return hashlib.sha256(tenant.encode() + b"\0" + request).digest()

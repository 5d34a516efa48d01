"""What is kept of somebody by key: typed, in versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, overload

import msgspec

from outlive.errors import ConfigurationError, StateError, UnstorableError
from outlive.stores.encoding import checked_name, decode, encode
from outlive.stores.queries import queries
from outlive.stores.shared import new_attempt
from outlive.stores.statements import Statements

T = TypeVar("T")
D = TypeVar("D")

MAX_HISTORY = 100
"""The most versions that one call brings, unless asked for more."""
_ALL = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Preference:
    """A version of a preference. `value` is None in a version that `deleted` it; `changed_at` is aware."""

    key: str
    version: int
    value: Any
    deleted: bool
    changed_at: datetime


class Preferences:
    """The preferences of one database, by subject (a user, an agent, a tenant) and key."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._max_value_bytes = max_value_bytes

    async def set(self, subject: str, key: str, value: object, *, expected_version: int | None = None) -> int:
        """Keep a value as the next version, and return that; 1 is the first.

        `value` is what JSON has a form for, or a dataclass, a msgspec struct, an enum, a date and the like, which is
        kept as msgspec writes it. With `expected_version` it is kept only if that is the version now; 0 is that of a
        preference that was never set.

        Raises:
            VersionConflictError: the version is another one.
            UnstorableError: it can't be kept as it is.
        """
        text = encode(_plain(value, key), f"the preference {key!r}", self._max_value_bytes)
        return await self._change(subject, key, text, expected_version)

    async def delete(self, subject: str, key: str, *, expected_version: int | None = None) -> int:
        """Delete a preference, which is a version too, and return that; 0 if it was never set. The history is kept."""
        return await self._change(subject, key, None, expected_version)

    @overload
    async def get(self, subject: str, key: str, *, type: type[T]) -> T | None: ...

    @overload
    async def get(self, subject: str, key: str, *, type: type[T], default: D) -> T | D: ...

    @overload
    async def get(self, subject: str, key: str, *, default: Any = None) -> Any: ...

    async def get(self, subject: str, key: str, *, type: Any = Any, default: Any = None) -> Any:  # noqa: A002
        """The value, as `type`; `default` if there is none. Shows every acknowledged write.

        The type is kept to strictly: the text "1" is no `int`, and the number 1 no `bool`.

        Raises:
            StateError: what is kept is no such value.
        """
        row = await self._statements.read(queries("preferences")["get"], subject, key)
        return default if row is None else _typed(row, subject, type)

    async def find(self, subject: str, key: str) -> Preference | None:
        """The preference with its version, or None."""
        row = await self._statements.read(queries("preferences")["get"], subject, key)
        return None if row is None else _preference(row)

    async def all(self, subject: str) -> dict[str, Preference]:
        """All preferences of the subject by their keys, in one round trip."""
        rows = await self._statements.read_all(queries("preferences")["all"], subject)
        return {row["key"]: _preference(row) for row in rows}

    async def history(self, subject: str, key: str, *, limit: int = MAX_HISTORY) -> tuple[Preference, ...]:
        """The last versions of a preference, the newest first."""
        rows = await self._statements.read_all(queries("preferences")["history"], subject, key, min(limit, _ALL))
        return tuple(_preference(row) for row in rows)

    async def erase(self, subject: str) -> int:
        """Delete all that is kept of the subject, its history too; how many preferences it had.

        A retry after a lost answer counts only what is left.
        """
        row = await self._statements.write(queries("preferences")["erase"], subject)
        return int(row["erased"])

    async def _change(self, subject: str, key: str, text: str | None, expected: int | None) -> int:
        names = (checked_name(subject, "a subject"), checked_name(key, "a preference's key"))
        sql = queries("preferences")["change"]
        row = await self._statements.write(sql, *names, text, _version(expected), new_attempt())
        return int(row["version"])


def _version(expected: object) -> int | None:
    if expected is None:
        return None
    if isinstance(expected, bool) or not isinstance(expected, int) or expected < 0:
        raise ConfigurationError(f"expected_version must be a whole number from 0, not {expected!r}")
    return expected


def _plain(value: object, key: str) -> object:
    try:
        return msgspec.to_builtins(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnstorableError(f"the preference {key!r} can't be stored as JSON: {error}") from None


def _typed(row: Mapping[str, Any], subject: str, wanted: Any) -> Any:
    try:
        return msgspec.convert(decode(row["value"]), wanted)
    except msgspec.ValidationError as error:
        raise StateError(
            f"the preference {row['key']!r} of {subject!r} is not as asked for: {error}",
            hint="Ask for the type that it was set with, or set it again.",
        ) from None


def _preference(row: Mapping[str, Any]) -> Preference:
    text = row["value"]
    return Preference(
        row["key"], row["version"], None if text is None else decode(text), text is None, row["changed_at"]
    )

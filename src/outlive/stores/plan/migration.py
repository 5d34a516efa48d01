"""Which migrations are to be applied, or why none may be.

The database records each applied migration with the checksum of its text. What is recorded must be a beginning of
what this code knows, text for text: then the rest is pending. A recorded migration that the code does not know is of
a newer release, whose tables this code might write wrongly; a recorded checksum that differs means that the tables
are not the ones that the code's text describes. Both are refused before anything is changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

_MIGRATE = "Run `outlive migrate`."


@dataclass(frozen=True, slots=True, order=True)
class Migration:
    """One numbered step of the schema; numbers begin at 1 and leave none out."""

    version: int
    name: str
    checksum: str
    sql: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A migration as the database remembers it."""

    version: int
    name: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Pending:
    """These are to be applied, in this order; none if the schema is as it should be."""

    migrations: tuple[Migration, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing may be applied."""

    reason: str
    hint: str


def plan_migrations(known: Sequence[Migration], recorded: Sequence[Recorded]) -> Pending | Refusal:
    """Compare what the database has with what the code knows, both by number."""
    for ours, theirs in zip_longest(known, recorded):
        if theirs is None:
            break
        if ours is None:
            return _newer(len(known), recorded[-1].version)
        if (ours.version, ours.checksum) != (theirs.version, theirs.checksum):
            return _altered(theirs)
    return Pending(tuple(known[len(recorded) :]))


def explain_missing(known: int, recorded: int | None) -> Refusal | None:
    """Why a name of the stores is not in a database whose schema is at version `recorded`; None says there is none.

    Returns None if the versions are the same: then it is something else.
    """
    if recorded is None:
        return Refusal("there is no schema `outlive` in this database", _MIGRATE)
    if recorded > known:
        return _newer(known, recorded)
    if recorded < known:
        return Refusal(f"the schema `outlive` is at version {recorded}, this code needs {known}", _MIGRATE)
    return None


def checksum(sql: str) -> str:
    """The SHA-256 of a migration's text, in hexadecimal."""
    return hashlib.sha256(sql.encode()).hexdigest()


def _newer(known: int, recorded: int) -> Refusal:
    return Refusal(
        f"the schema `outlive` is at version {recorded}, this code knows {known}",
        "Upgrade outlive to the release that migrated this database, or a later one.",
    )


def _altered(migration: Recorded) -> Refusal:
    return Refusal(
        f"the migration {migration.version:04d}_{migration.name} was applied with another text than this code has",
        "Use the release that applied it; a migration that was released is never changed, only followed by another.",
    )

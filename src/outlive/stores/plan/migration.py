"""Which migrations are to be applied, or why none may be.

The database records each applied migration with the checksum of its text. What is recorded must be a beginning of
what this code knows, text for text: then the rest is pending. A recorded migration that the code does not know is of
a newer release, whose tables this code might write wrongly; a recorded checksum that differs means that the tables
are not the ones that the code's text describes. One that has another name than this code gives its number is of the
time before the first release, when the migrations were laid out anew; since then a number keeps its name. All three
are refused before anything is changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import assert_never

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
            return _newer(known, recorded)
        if ours.version == theirs.version and ours.name != theirs.name:
            return _unreleased(theirs)
        if (ours.version, ours.checksum) != (theirs.version, theirs.checksum):
            return _altered(theirs)
    return Pending(tuple(known[len(recorded) :]))


def explain_missing(known: Sequence[Migration], recorded: Sequence[Recorded] | None) -> Refusal | None:
    """Why a name of the stores is not in a database that has these migrations; None says it has no schema.

    Returns None if they are those that the code knows: then it is something else.
    """
    if recorded is None:
        return Refusal("there is no schema `outlive` in this database", _MIGRATE)
    match plan_migrations(known, recorded):
        case Refusal() as refusal:
            return refusal
        case Pending(()):
            return None
        case Pending():
            reason = f"the schema `outlive` is at version {len(recorded)}, this code needs {len(known)}"
            return Refusal(reason, _MIGRATE)
        case never:
            assert_never(never)


def checksum(sql: str) -> str:
    """The SHA-256 of a migration's text, in hexadecimal."""
    return hashlib.sha256(sql.encode()).hexdigest()


def _newer(known: Sequence[Migration], recorded: Sequence[Recorded]) -> Refusal:
    return Refusal(
        f"the schema `outlive` is at version {recorded[-1].version}, this code knows {len(known)}",
        "Upgrade outlive to the release that migrated this database, or a later one.",
    )


def _unreleased(migration: Recorded) -> Refusal:
    return Refusal(
        "the schema `outlive` comes from a version before the first release: "
        f"it has the migration {migration.version:04d}_{migration.name}, which no release has",
        "Export its conversations with the version that made it (`outlive state export --all -o FILE`), run "
        "`outlive migrate` on a new database, and import them there (`outlive state import FILE`).",
    )


def _altered(migration: Recorded) -> Refusal:
    return Refusal(
        f"the migration {migration.version:04d}_{migration.name} was applied with another text than this code has",
        "Use the version that applied it. A migration that was released is never changed, only followed by another; "
        "a database that a version before the first release made is made anew.",
    )

"""Whether a restored server holds what it should.

Everything here can only add a complaint: nothing is verified by what was not looked at. A server with no table, or with
no row where there were some when the backup was taken, is never verified, whatever else is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

SHOWN_LIMIT = 5


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that a caller did: when it began it, and when it was told that it is done; None: it never was."""

    id: str
    began_at: datetime
    acknowledged_at: datetime | None


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """A ledger, what of it is in the restored database, and the moment that this was restored to."""

    operations: tuple[Operation, ...]
    there: frozenset[str]
    until: datetime


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a database's tables in one snapshot, and digests of their content; counts alone where exact."""

    tables: Mapping[str, int]
    digests: Mapping[str, str]


Databases = Mapping[str, Rows]


def ledger_complaints(facts: LedgerFacts) -> list[str]:
    """Acknowledged operations that are missing, and operations that had not begun yet and are there."""
    due = [each for each in facts.operations if each.acknowledged_at and each.acknowledged_at <= facts.until]
    lost = [each.id for each in due if each.id not in facts.there]
    early = [each.id for each in facts.operations if each.began_at > facts.until and each.id in facts.there]
    complaints = [] if facts.operations else ["the ledger is empty, so it proves nothing"]
    if lost:
        complaints.append(f"{len(lost)} of {len(due)} acknowledged operations are missing: {_some(lost)}")
    if early:
        complaints.append(f"{len(early)} operations are there that began after {facts.until}: {_some(early)}")
    return complaints


def same(recorded: Databases, restored: Databases) -> list[str]:
    """How rows differ from those that were counted at the very same place in the WAL."""
    complaints: list[str] = []
    for name, before in recorded.items():
        after = restored.get(name)
        if after is None:
            complaints.append(f"database {name} is missing")
            continue
        for table, rows in before.tables.items():
            if after.tables.get(table) != rows:
                complaints.append(f"{name}: {table} had {rows} rows and has {after.tables.get(table, 'none at all')}")
        for digest, value in before.digests.items():
            if after.digests.get(digest) != value:
                complaints.append(f"{name}: the content of {digest} is another one")
    return complaints[:SHOWN_LIMIT]


def emptiness(recorded: Databases, restored: Databases) -> list[str]:
    """Whether there is nothing where there was something, or where nobody knows what there was."""
    complaints = []
    if not recorded and _total(restored) == 0:
        complaints.append("there is no row, and none were counted when the backup was taken: this would prove nothing")
    if not any(rows.tables for rows in restored.values()) and any(rows.tables for rows in recorded.values()):
        complaints.append("there is no table, and there were some when the backup was taken")
    elif _total(restored) == 0 and _total(recorded) > 0:
        complaints.append(f"there is no row, and there were {_total(recorded)} when the backup was taken")
    return complaints


def _total(databases: Databases) -> int:
    return sum(sum(rows.tables.values()) for rows in databases.values())


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN_LIMIT]) + (" ..." if len(listed) > SHOWN_LIMIT else "")

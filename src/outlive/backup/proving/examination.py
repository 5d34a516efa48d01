"""Examines a restored server, however it came to be: everything that is asked of it, and what is wrong.

Nothing of it needs the store. A server of pgBackRest's is examined by the same call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from outlive.backup.manifest import DatabaseCounts
from outlive.backup.plan import verdict
from outlive.backup.plan.arrival import Arrival
from outlive.backup.plan.recovery import RecoveryPlan
from outlive.backup.plan.verdict import Databases, Operation, Rows
from outlive.backup.proving import pages, questions
from outlive.backup.restoring.material import Tools
from outlive.backup.restoring.server import PrivateServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What a caller kept outside of the database, and the query for the ids of what is in it."""

    database: str
    query: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class LedgerUntil:
    """A ledger, and the moment that was restored."""

    ledger: Ledger
    until: datetime


@dataclass(slots=True)
class Findings:
    """What is known so far: complaints by check, and what was looked at."""

    checks: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    plan: RecoveryPlan | None = None
    arrival: Arrival | None = None
    tables: int = 0
    rows: int = 0
    compared: bool = False

    def take(self, check: str, complaints: list[str]) -> None:
        """The result of one check."""
        self.checks[check] = len(complaints)
        self.complaints += complaints


async def examine(
    server: PrivateServer, tools: Tools, recorded: Databases, findings: Findings, ledger: LedgerUntil | None = None
) -> None:
    """Ask a server that runs on restored data as a primary; it is stopped afterwards, to read its pages.

    `recorded` are rows that were counted once, where anything was: there must be some again.
    """
    await _ask(server, recorded, findings)
    if ledger is not None:
        asked = ledger.ledger
        facts = await questions.ledger(server, asked.database, asked.query, asked.operations, ledger.until)
        findings.take("ledger", verdict.ledger_complaints(facts))
    findings.take("amcheck", await pages.amcheck(server, tools))
    if await pages.have_checksums(server):
        await server.stop()
        findings.take("page_checksums", await pages.checksums(server.workspace, tools))


async def _ask(server: PrivateServer, recorded: Databases, findings: Findings) -> None:
    restored = rows(await questions.count(server))
    findings.tables = sum(len(each.tables) for each in restored.values())
    findings.rows = sum(sum(each.tables.values()) for each in restored.values())
    findings.take("not_empty", verdict.emptiness(recorded, restored))
    for database in restored:
        for name, complaints in (await questions.complaints(server, database)).items():
            findings.take(f"{database}.{name}", complaints)


def rows(counts: tuple[DatabaseCounts, ...]) -> Databases:
    """Counts that are exact, by database."""
    return {
        each.database: Rows({name: table.rows for name, table in each.tables.items() if table.exact}, each.digests)
        for each in counts
    }

"""The audit log: who did what, appended once and never changed, and found out if it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from outlive import system
from outlive.client.transaction import Transaction
from outlive.model.identifiers import uuid7
from outlive.stores.encoding import checked_name, encode
from outlive.stores.failures import typed_refusals
from outlive.stores.plan.audit_chain import AuditDefect, AuditEntry, AuditHead, Flaw, Link, check_end, walk
from outlive.stores.queries import queries
from outlive.stores.statements import Statements

STREAM = "main"
"""The stream of whoever names none."""

PAGE = 1_000
"""How many rows of a stream one round trip of a verification brings."""

LAST = 100
"""How many rows `last` brings unless told otherwise."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a verification saw; a stream with a defect counts with the rows before it."""

    streams: int
    entries: int
    defects: tuple[AuditDefect, ...]


class Audit:
    """The audit log of one database."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._max_value_bytes = max_value_bytes

    async def record(
        self,
        action: str,
        *,
        actor: str,
        subject: str = "",
        details: object = None,
        stream: str = STREAM,
        tx: Transaction | None = None,
    ) -> AuditEntry:
        """Append what `actor` did, and to which `subject`; it is chained when this returns.

        With `tx` it is a part of that transaction, and is there if and only if that one commits. Writers of one
        stream wait until the transaction before theirs has ended, so give what is busy a stream of its own.

        Raises:
            UnstorableError: something of it can't be kept as it is.
        """
        made_at_ms = int(system.now_utc().timestamp() * 1000)
        entry_id = uuid7(made_at_ms, system.chance.getrandbits(74))
        names = (checked_name(actor, "an actor's name"), checked_name(action, "an action"), _subject(subject))
        text = encode(details, f"the details of {action!r}", self._max_value_bytes)
        row = await self._append(tx, checked_name(stream, "a stream's name"), entry_id, *names, text)
        return AuditEntry(**row)

    async def last(
        self,
        *,
        stream: str = STREAM,
        action: str | None = None,
        subject: str | None = None,
        before: int | None = None,
        limit: int = LAST,
    ) -> tuple[AuditEntry, ...]:
        """The last entries of a stream, the latest first; `before` is a position that they stand before."""
        rows = await self._statements.read_all(queries("audit")["last"], stream, action, subject, before, limit)
        return tuple(AuditEntry(**row) for row in rows)

    async def heads(self) -> tuple[AuditHead, ...]:
        """The last position and hash of each stream: kept elsewhere, they show a later cut or rewritten stream."""
        return tuple(AuditHead(**row) for row in await self._statements.read_all(queries("audit")["heads"]))

    async def verify(self, trusted: Iterable[AuditHead] = (), *, page: int = PAGE) -> AuditReport:
        """Walk every stream, and tell the first bad row of each.

        `trusted` are heads that were noted before. Entries may be appended meanwhile; those that come after the
        beginning are not looked at. Where tenants are kept apart, only what this client may see is verified.
        """
        noted = {(head.tenant, head.stream): head for head in trusted}
        heads = await self.heads()
        defects = [*_lost(noted, heads), *await self._beyond()]
        entries = 0
        for head in heads:
            reached, defect = await self._verify_stream(head, noted.get((head.tenant, head.stream)), page)
            entries += reached
            if defect is not None:
                defects = [other for other in defects if (other.tenant, other.stream) != (head.tenant, head.stream)]
                defects.append(defect)
        return AuditReport(len(heads), entries, tuple(defects))

    async def _append(self, tx: Transaction | None, *args: Any) -> asyncpg.Record:
        sql = queries("audit")["append"]
        if tx is None:
            return await self._statements.write(sql, *args)
        with typed_refusals():
            row = await tx.fetchrow(sql, *args)
        assert row is not None, "the function returns a row"
        return row

    async def _verify_stream(
        self, head: AuditHead, trusted: AuditHead | None, page: int
    ) -> tuple[int, AuditDefect | None]:
        """How many rows are good from the beginning, and what is wrong with the one after them."""
        link, sql = Link(), queries("audit")["page"]
        while rows := await self._statements.read_all(
            sql, head.tenant, head.stream, link.position, head.position, page
        ):
            match walk(link, (AuditEntry(**row) for row in rows), trusted):
                case AuditDefect() as defect:
                    return defect.position - 1, defect
                case reached:
                    link = reached
        return link.position, check_end(link, head, trusted)

    async def _beyond(self) -> list[AuditDefect]:
        rows = await self._statements.read_all(queries("audit")["beyond"])
        reason = "it stands behind the stream's head: it was not appended by the log"
        return [AuditDefect(Flaw.INSERTED, row["tenant"], row["stream"], row["position"], reason) for row in rows]


def _lost(noted: Mapping[tuple[str, str], AuditHead], heads: Iterable[AuditHead]) -> list[AuditDefect]:
    known = {(head.tenant, head.stream) for head in heads}
    reason = "the whole stream is not there, and a head of it was noted"
    return [AuditDefect(Flaw.CUT, *place, 1, reason) for place in noted if place not in known]


def _subject(subject: str) -> str:
    return checked_name(subject, "a subject") if subject else ""

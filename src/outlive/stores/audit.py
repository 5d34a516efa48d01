"""The audit log: who did what, appended once and never changed, and found out if it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from outlive import system
from outlive.client.options import positive
from outlive.client.transaction import Transaction
from outlive.errors import StateError
from outlive.model.identifiers import uuid7
from outlive.stores.ages import ago
from outlive.stores.encoding import checked_name, encode
from outlive.stores.failures import typed_refusals
from outlive.stores.plan.audit_chain import (
    AuditDefect,
    AuditEntry,
    AuditHead,
    Flaw,
    Link,
    check_beginning,
    check_end,
    old_rows,
    walk,
)
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
    """What a verification saw; a stream with a defect counts with the rows before it.

    `erased` of the entries have lost content for a person's sake; `pruned` are those that were removed for their age.
    """

    streams: int
    entries: int
    defects: tuple[AuditDefect, ...]
    erased: int = 0
    pruned: int = 0


@dataclass(frozen=True, slots=True)
class AuditPruning:
    """What was removed for its age, or would be: entries, of so many streams."""

    streams: int
    entries: int


@dataclass(frozen=True, slots=True)
class _Span:
    """What the database says of a stream: its last row, and what its first one follows."""

    head: AuditHead
    begin: Link


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

        Raises:
            ConfigurationError: a page holds no row.
        """
        page = int(positive("page", page))
        noted = {(head.tenant, head.stream): head for head in trusted}
        spans = await self._spans()
        defects = [*_lost(noted, (span.head for span in spans)), *await self._beyond()]
        entries = erased = 0
        for span in spans:
            place = (span.head.tenant, span.head.stream)
            reached, defect = await self._verify_stream(span, noted.get(place), page)
            entries, erased = entries + reached.position - span.begin.position, erased + reached.erased
            if defect is not None:
                defects = [other for other in defects if (other.tenant, other.stream) != place]
                defects.append(defect)
        pruned = sum(span.begin.position for span in spans)
        return AuditReport(len(spans), entries, tuple(defects), erased, pruned)

    async def prune(self, older_than: timedelta, *, batch: int = PAGE, dry_run: bool = False) -> AuditPruning:
        """Remove entries that are older, from the beginning of each stream on, `batch` in each transaction.

        What is removed was verified just before, and its last hash is kept: `verify` begins with it. Heads that were
        noted of removed rows prove nothing any more. It takes the role that migrated, or a member of outlive_owner.

        Raises:
            StateError: a row that would go is damaged, or the role may not remove any; the stream stays as it is.
        """
        before, at_once = ago("older_than", older_than), int(positive("batch", batch))
        removed = [await self._prune_stream(span, before, at_once, dry_run=dry_run) for span in await self._spans()]
        return AuditPruning(sum(1 for entries in removed if entries), sum(removed))

    async def _append(self, tx: Transaction | None, *args: Any) -> asyncpg.Record:
        sql = queries("audit")["append"]
        if tx is None:
            return await self._statements.write(sql, *args)
        with typed_refusals():
            row = await tx.fetchrow(sql, *args)
        assert row is not None, "the function returns a row"
        return row

    async def _verify_stream(
        self, span: _Span, trusted: AuditHead | None, page: int
    ) -> tuple[Link, AuditDefect | None]:
        """The last good row from the beginning, and what is wrong with the one after it."""
        link, head = span.begin, span.head
        if (defect := check_beginning(link, head, trusted)) is not None:
            return link, defect
        while rows := await self._page(head, link, page):
            match walk(link, rows, trusted):
                case AuditDefect() as defect:
                    good = max(link.position, defect.position - 1)
                    return replace(link, position=good), defect
                case reached:
                    link = reached
        return link, check_end(link, head, trusted)

    async def _prune_stream(self, span: _Span, before: datetime, batch: int, *, dry_run: bool) -> int:
        """How many rows of a stream went, a batch in each transaction."""
        link = span.begin
        while rows := old_rows(await self._page(span.head, link, batch), before):
            match walk(link, rows):
                case AuditDefect() as defect:
                    hint = "See `outlive state audit verify`: what is damaged is kept as evidence."
                    reason = f"row {defect.position} of the stream {defect.stream!r} is {defect.flaw.value}"
                    raise StateError(f"the audit log is not pruned: {reason}: {defect.reason}", hint=hint)
                case reached:
                    link = reached
            if not dry_run:
                place = (span.head.tenant, span.head.stream)
                await self._statements.write(queries("audit")["prune"], *place, link.position, link.hash)
        return link.position - span.begin.position

    async def _page(self, head: AuditHead, after: Link, limit: int) -> list[AuditEntry]:
        place = (head.tenant, head.stream, after.position, head.position)
        return [AuditEntry(**row) for row in await self._statements.read_all(queries("audit")["page"], *place, limit)]

    async def _spans(self) -> list[_Span]:
        rows = await self._statements.read_all(queries("audit")["spans"])
        return [
            _Span(
                AuditHead(row["tenant"], row["stream"], row["position"], row["hash"]),
                Link(row["begin_position"], row["begin_hash"]),
            )
            for row in rows
        ]

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

"""Whether the rows of an audit stream are those that were appended, all of them, in their order.

Each row holds the hash of the row before it and of its own fields, and the stream's head holds the hash of the last
row. So whoever walks a stream from its first row needs to remember one `Link`: the position and the hash that the
next row has to follow. The invariant: a walk that meets no defect and ends at the head has seen exactly the rows
whose hashes lead to that head.

What a row says of people can be erased and the walk still passes: the row's hash is made of seals, hashes of the actor
and of the content with a salt each, and what is erased takes its salt with it. Rows that were removed for their age
were the first ones, and the walk begins with the hash of the last of them.

A hash has no secret in it: who may write everything can compute a whole stream and its head anew. That is found by a
head that was noted elsewhere, and by nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import takewhile
from typing import Any
from uuid import UUID

NOTHING_BEFORE = bytes(32)
"""What the first row of a stream has for the hash of the row before."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = "outlive audit 2"
ERASED_ACTOR, ERASED_SUBJECT, ERASED_DETAILS = "erased", "", "null"
"""What a row says in place of what was erased."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A row of the audit log. `position` counts from 1 within its stream; `at` is aware, by the database's clock.

    `erased_at` is when subject and details, or the actor's name too, were erased for a person.
    """

    tenant: str
    stream: str
    position: int
    id: UUID
    at: datetime
    actor: str
    action: str
    subject: str
    details_json: str
    previous: bytes
    hash: bytes
    actor_seal: bytes
    content_seal: bytes
    actor_salt: bytes | None = None
    content_salt: bytes | None = None
    erased_at: datetime | None = None

    @property
    def details(self) -> Any:
        """What was given as details."""
        return json.loads(self.details_json)


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The last row of a stream at some moment: to be kept where the database's administrators can't write."""

    tenant: str
    stream: str
    position: int
    hash: bytes


class Flaw(Enum):
    """What is wrong with a row."""

    ALTERED = "altered"
    MISSING = "missing"
    UNLINKED = "unlinked"
    INSERTED = "inserted"
    CUT = "cut"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class AuditDefect:
    """The first bad row of a stream, and why it is one."""

    flaw: Flaw
    tenant: str
    stream: str
    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Link:
    """What the next row has to follow, and how many rows before it were erased."""

    position: int = 0
    hash: bytes = NOTHING_BEFORE
    erased: int = 0


def canonical(entry: AuditEntry) -> bytes:
    """The bytes that are hashed: every field with its length before it, so that no two rows have the same ones."""
    microseconds = (entry.at - _EPOCH) // timedelta(microseconds=1)
    place = (entry.tenant, entry.stream, str(entry.position), str(entry.id), str(microseconds))
    seals = (entry.actor_seal.hex(), entry.content_seal.hex())
    return _netstrings(_FORM, *place, entry.action, *seals, entry.previous.hex())


def seal(salt: bytes, *texts: str) -> bytes:
    """What stands for texts in a row's hash."""
    return hashlib.sha256(_netstrings(salt.hex(), *texts)).digest()


def entry_hash(entry: AuditEntry) -> bytes:
    """The hash that a row with these fields has."""
    return hashlib.sha256(canonical(entry)).digest()


def walk(link: Link, entries: Iterable[AuditEntry], trusted: AuditHead | None = None) -> Link | AuditDefect:
    """Go over rows in the order of their positions; the link after the last of them, or the first defect.

    `trusted` is a head of this stream that was noted before.
    """
    for entry in entries:
        match _follow(link, entry, trusted):
            case AuditDefect() as defect:
                return defect
            case reached:
                link = reached
    return link


def check_beginning(link: Link, head: AuditHead, trusted: AuditHead | None = None) -> AuditDefect | None:
    """What is wrong where the rows begin: the last one that was removed has to be the one that was noted."""
    if trusted is None or trusted.position != link.position or trusted.hash == link.hash:
        return None
    reason = "the rows up to it were removed, and it was noted with another hash"
    return AuditDefect(Flaw.REPLACED, head.tenant, head.stream, link.position, reason)


def old_rows(entries: Iterable[AuditEntry], before: datetime) -> tuple[AuditEntry, ...]:
    """The first rows, up to one that is not as old: only from its old end can a chain be cut."""
    return tuple(takewhile(lambda entry: entry.at < before, entries))


def check_end(link: Link, head: AuditHead, trusted: AuditHead | None = None) -> AuditDefect | None:
    """What is wrong where the rows end: they have to end with the head, and not before a trusted one."""
    wanted = max(head.position, trusted.position if trusted else 0)
    if link.position < wanted:
        reason = f"the stream ends with row {link.position}, its head is row {wanted}"
        return AuditDefect(Flaw.CUT, head.tenant, head.stream, link.position + 1, reason)
    if link.hash != head.hash:
        reason = "the stream's head has another hash than its last row"
        return AuditDefect(Flaw.REPLACED, head.tenant, head.stream, link.position, reason)
    return None


def _follow(link: Link, entry: AuditEntry, trusted: AuditHead | None) -> Link | AuditDefect:
    def defect(flaw: Flaw, position: int, reason: str) -> AuditDefect:
        return AuditDefect(flaw, entry.tenant, entry.stream, position, reason)

    due = link.position + 1
    if entry.position > due:
        return defect(Flaw.MISSING, due, f"row {due} is not there, row {entry.position} is the next one")
    if entry.position < due:
        return defect(Flaw.INSERTED, entry.position, f"there is a second row {entry.position}")
    if entry.previous != link.hash:
        return defect(Flaw.UNLINKED, due, "it does not follow the row before: one of the two was exchanged")
    if (reason := _altered(entry)) is not None:
        return defect(Flaw.ALTERED, due, reason)
    if trusted is not None and trusted.position == due and trusted.hash != entry.hash:
        return defect(Flaw.REPLACED, due, "it is whole, but not the row that was noted as the head")
    return Link(due, entry.hash, link.erased + (entry.erased_at is not None))


def _altered(entry: AuditEntry) -> str | None:
    content, actor = (entry.subject, entry.details_json), (entry.actor,)
    if not (entry.actor_seal and entry.content_seal):
        # The columns forbid it, and whoever tampers may change the columns.
        return "a seal of it was removed"
    if entry.hash != entry_hash(entry):
        return "its hash is not that of its seals and its place"
    if not _sealed(entry.actor_salt, entry.actor_seal, actor, (ERASED_ACTOR,)):
        return "its actor is not the one that was sealed"
    if not _sealed(entry.content_salt, entry.content_seal, content, (ERASED_SUBJECT, ERASED_DETAILS)):
        return "its content is not what was sealed"
    erased = entry.content_salt is None or entry.actor_salt is None
    return None if erased == (entry.erased_at is not None) else "it is not as erased as it says"


def _sealed(salt: bytes | None, sealed: bytes, texts: tuple[str, ...], erased: tuple[str, ...]) -> bool:
    return texts == erased if salt is None else seal(salt, *texts) == sealed


def _netstrings(*texts: str) -> bytes:
    return b"".join(map(_netstring, texts))


def _netstring(text: str) -> bytes:
    data = text.encode()
    return b"%d:%s," % (len(data), data)

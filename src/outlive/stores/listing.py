"""Conversations found again: in pages, by status, by time, by metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from outlive.errors import ConfigurationError
from outlive.stores.ages import checked_moment
from outlive.stores.encoding import decode, encode_object
from outlive.stores.queries import queries
from outlive.stores.statements import Statements

Status = Literal["open", "complete"]

DEFAULT_PAGE = 100
MAX_PAGE = 1000
"""The most conversations that one page has."""

_NEWEST = 2**63 - 1
_DIGITS = 20
_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation without what was said in it.

    `worker` holds the lease until `lease_until`, None when nobody does; all times are aware, by the database's clock.
    `updated_at` is when it last changed; a renewed lease is no change.
    """

    id: str
    status: Status
    metadata: Mapping[str, Any]
    turn_count: int
    checkpoint_version: int
    worker: str | None
    lease_until: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Some conversations, the newest first; `next` is what `after` of the next page has to be, None on the last one."""

    conversations: tuple[Summary, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which conversations to list."""

    status: Status | None = None
    updated_since: datetime | None = None
    metadata: str | None = None


def wanted(status: str | None, updated_since: datetime | None, metadata: Mapping[str, Any] | None) -> Wanted:
    """Which ones are asked for, checked.

    Raises:
        ConfigurationError: the status is none, or the time has no time zone.
        UnstorableError: the metadata is nothing that could be stored.
    """
    if status is not None and status not in get_args(Status):
        raise ConfigurationError(f"status is one of {', '.join(get_args(Status))}, not {status!r}")
    if updated_since is not None:
        checked_moment("updated_since", updated_since)
    text = encode_object(metadata, "the metadata to search for") if metadata else None
    return Wanted("open" if status == "open" else "complete" if status else None, updated_since, text)


async def page(statements: Statements, wanted: Wanted, *, limit: int, after: str | None) -> Page:
    """The first `limit` of them, or those after another page's `next`."""
    if not 0 < limit <= MAX_PAGE:
        raise ConfigurationError(f"limit must lie between 1 and {MAX_PAGE}, not {limit}")
    found = await _rows(statements, wanted, _cursor(after), limit + 1)
    rows = found[:limit]
    return Page(tuple(map(_summary, rows)), str(rows[-1]["key"]) if len(found) > limit else None)


async def _rows(statements: Statements, wanted: Wanted, below: int, limit: int) -> list[Any]:
    since = wanted.updated_since or _EVER
    if wanted.metadata is not None:
        sql = queries("listing")["by_metadata"]
        return await statements.read_all(sql, below, since, limit, wanted.status, wanted.metadata)
    if wanted.status is not None:
        return await statements.read_all(queries("listing")["by_status"], below, since, limit, wanted.status)
    return await statements.read_all(queries("listing")["all"], below, since, limit)


def _cursor(after: str | None) -> int:
    if after is None:
        return _NEWEST
    if not (after.isascii() and after.isdigit() and len(after) < _DIGITS and int(after) <= _NEWEST):
        raise ConfigurationError(f"{after!r} is not the `next` of a page")
    return int(after)


def _summary(row: Mapping[str, Any]) -> Summary:
    return Summary(
        id=row["id"],
        status=row["status"],
        metadata=decode(row["metadata"]),
        turn_count=row["turn_count"],
        checkpoint_version=row["checkpoint_version"],
        worker=row["lease_worker"],
        lease_until=row["lease_until"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )

"""Analytics events: many, cheap, kept for a while, counted by kind and time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from outlive import system
from outlive.client.options import positive
from outlive.errors import UnstorableError
from outlive.model.ages import MAX_AGE
from outlive.model.identifiers import uuid7
from outlive.stores.ages import checked_age, checked_moment
from outlive.stores.encoding import checked_name, decode, encode
from outlive.stores.event_buffer import EventBuffer
from outlive.stores.plan.event_batches import BufferLimits
from outlive.stores.queries import queries
from outlive.stores.statements import Statements

RETENTION_DAYS = 30
"""How long events are kept unless told otherwise."""

LIMIT = 1_000
"""How many events or counts a reading brings unless told otherwise."""

DAY_S = 86_400
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `at` is aware; `subject` is what it is about, such as a conversation's id."""

    id: UUID
    at: datetime
    kind: str
    subject: str | None
    attributes: Any


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many events of a kind there are in a slice of time that begins at `begins_at`."""

    begins_at: datetime
    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class EventMaintenance:
    """What maintenance did: days made ahead, days dropped, and events deleted that no day held."""

    days_made: int
    days_dropped: int
    events_deleted: int


class Events:
    """The events of one database."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._max_value_bytes = max_value_bytes

    def new(
        self, kind: str, attributes: Any = None, *, subject: str | None = None, at: datetime | None = None
    ) -> Event:
        """An event to append, with an id of its own; it happens now unless `at` says when.

        Raises:
            UnstorableError: something of it can't be kept as it is.
        """
        now = system.now_utc()
        event_id = uuid7(int(now.timestamp() * 1000), system.chance.getrandbits(74))
        event = Event(event_id, at or now, kind, subject, attributes)
        self._checked(event)
        return event

    async def append(self, events: Iterable[Event]) -> int:
        """Keep events in one transaction; returns how many of them were not there yet.

        Raises:
            UnstorableError: something of one can't be kept as it is.
        """
        listed = list(events)
        if not listed:
            return 0
        return await self._append(self._statements, listed)

    def buffer(
        self, limits: BufferLimits | None = None, *, on_drop: Callable[[int], object] | None = None
    ) -> EventBuffer:
        """Events written in batches, behind the program's back: see `EventBuffer`.

        `on_drop` is called with the number of events that were just given up, on the event loop.

        Raises:
            ConfigurationError: a limit is not above zero.
        """
        chosen = limits or BufferLimits()
        for name in ("max_waiting", "batch", "max_age_s", "flush_timeout_s"):
            positive(name, getattr(chosen, name))
        statements = replace(self._statements, timeout_s=chosen.flush_timeout_s)

        async def write(batch: list[Event]) -> None:
            await self._append(statements, batch)

        return EventBuffer(self.new, write, chosen, on_drop)

    async def read(
        self,
        *,
        kind: str | None = None,
        subject: str | None = None,
        since: datetime = BEGINNING,
        until: datetime = END,
        before: Event | None = None,
        limit: int = LIMIT,
    ) -> tuple[Event, ...]:
        """The last `limit` events from `since` on and before `until`, the latest first.

        `before` is the last event of the page before, for the next page.
        """
        _check_span(since, until)
        place = (None, None) if before is None else (before.at, before.id)
        sql = queries("events")["read"]
        rows = await self._statements.read_all(sql, since, until, kind, subject, *place, limit)
        return tuple(_event(row) for row in rows)

    async def count(self, *, since: datetime = BEGINNING, until: datetime = END) -> dict[str, int]:
        """How many events there are of each kind."""
        _check_span(since, until)
        rows = await self._statements.read_all(queries("events")["count"], since, until)
        return {row["kind"]: row["number"] for row in rows}

    async def count_over_time(
        self, slice_s: float, *, since: datetime, until: datetime, kind: str | None = None, limit: int = LIMIT
    ) -> tuple[EventCount, ...]:
        """How many events there are of each kind in each slice of `slice_s` seconds; the first begins at `since`."""
        _check_span(since, until)
        sql = queries("events")["count_over_time"]
        rows = await self._statements.read_all(sql, since, until, positive("slice_s", slice_s), kind, limit)
        return tuple(EventCount(**row) for row in rows)

    async def maintain(self, retention_days: float = RETENTION_DAYS) -> EventMaintenance:
        """Make the days to come, and drop those whose last moment is older than `retention_days`.

        To be called once a day, by the role that owns the tables; doing it again changes nothing. Late maintenance
        loses no event: the first event of a day makes its partition.
        """
        days = positive("retention_days", retention_days)
        checked_age("retention_days", timedelta(days=min(days, 2 * MAX_AGE.days)))
        row = await self._statements.write(queries("events")["maintain"], days * DAY_S)
        return EventMaintenance(row["made"], row["dropped"], row["deleted"])

    async def _append(self, statements: Statements, events: list[Event]) -> int:
        columns = (
            [event.id for event in events],
            [event.at for event in events],
            [event.kind for event in events],
            [event.subject for event in events],
            [self._checked(event) for event in events],
        )
        return int((await statements.write(queries("events")["append"], *columns))["added"])

    def _checked(self, event: Event) -> str:
        """The text of its attributes, once all of it was found fit to be stored."""
        checked_name(event.kind, "an event's kind")
        if event.subject is not None:
            checked_name(event.subject, "an event's subject")
        if event.at.tzinfo is None:
            raise UnstorableError(f"the event {event.kind!r} can't be stored: its moment {event.at} has no time zone")
        return encode(event.attributes, f"the attributes of {event.kind!r}", self._max_value_bytes)


def _check_span(since: datetime, until: datetime) -> None:
    checked_moment("since", since)
    checked_moment("until", until)


def _event(row: Mapping[str, Any]) -> Event:
    return Event(row["id"], row["at"], row["kind"], row["subject"], decode(row["attributes"]))

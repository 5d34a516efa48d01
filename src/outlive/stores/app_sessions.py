"""Sessions of an app's users: their events in order, and state that a session, a user or the whole app shares."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from outlive import system
from outlive.model.identifiers import uuid7
from outlive.stores.encoding import checked_name, decode, encode, encode_object
from outlive.stores.queries import queries
from outlive.stores.statements import Statements

PAGE = 200
"""How many sessions one round trip of a listing brings."""
_ALL = 2**31 - 1


@dataclass(frozen=True, slots=True)
class SessionName:
    """Which session: ids are unique for each user of each app."""

    app: str
    user: str
    id: str

    def checked(self) -> tuple[str, str, str]:
        """The three parts, found fit to be stored."""
        app, user = checked_name(self.app, "an app's name"), checked_name(self.user, "a user's id")
        return app, user, checked_name(self.id, "a session's id")


@dataclass(frozen=True, slots=True)
class States:
    """State of the three scopes, or changes of it: top-level keys replace what is there."""

    session: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    app: Mapping[str, Any] = field(default_factory=dict)

    def encoded(self, max_bytes: int) -> tuple[str, str, str]:
        """The JSON of app, user and session, the order in which they are locked."""
        scopes = (("app", self.app), ("user", self.user), ("session", self.session))
        app, user, session = (encode_object(state, f"the state of the {scope}", max_bytes) for scope, state in scopes)
        return app, user, session


@dataclass(frozen=True, slots=True)
class AppSession:
    """A session as it was at one moment; `revision` counts its events, `updated_at` is aware."""

    name: SessionName
    revision: int
    updated_at: datetime
    states: States
    events: tuple[Any, ...]


class AppSessions:
    """The sessions of one database."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._max_value_bytes = max_value_bytes

    async def create(self, name: SessionName, states: States, at: datetime) -> None:
        """Make a session.

        Raises:
            VersionConflictError: there is one of this name.
            UnstorableError: its name or state can't be kept as it is.
        """
        attempt = uuid7(int(system.now_utc().timestamp() * 1000), system.chance.getrandbits(74))
        encoded = states.encoded(self._max_value_bytes)
        await self._statements.write(queries("app_sessions")["create"], *name.checked(), attempt, at, *encoded)

    async def append(
        self, name: SessionName, event_id: str, at: datetime, content: Any, changes: States, *, expected: int | None
    ) -> int:
        """Append an event and apply its changes, once for its id; returns the session's revision after it.

        `expected` is the revision that the caller knows, None for whichever it is.

        Raises:
            NotFoundError: there is no such session.
            VersionConflictError: the session has gone on since.
            KeyReusedError: the event is there with other content.
            UnstorableError: something of it can't be kept as it is.
        """
        checked_name(event_id, "an event's id")
        text = encode(content, f"the event {event_id!r}", self._max_value_bytes)
        encoded = changes.encoded(self._max_value_bytes)
        sql = queries("app_sessions")["append"]
        row = await self._statements.write(sql, *name.checked(), expected, event_id, at, text, *encoded)
        return int(row["revision"])

    async def load(
        self, name: SessionName, *, last: int | None = None, since: datetime | None = None
    ) -> AppSession | None:
        """The session with its `last` events, those not older than `since`; None if there is none."""
        limit = _ALL if last is None else min(last, _ALL)
        row = await self._statements.read(queries("app_sessions")["load"], name.app, name.user, name.id, limit, since)
        return None if row is None else _session(name.app, row)

    async def listed(self, app: str, user: str | None = None, *, page: int = PAGE) -> AsyncIterator[AppSession]:
        """All sessions of the app, or of one of its users, by user and id, without their events.

        A round trip brings `page` of them.
        """
        sql = queries("app_sessions")["page" if user is None else "page_of_user"]
        after = (user or "", "")
        while True:
            rows = await self._statements.read_all(sql, app, *after, page)
            for row in rows:
                yield _session(app, row)
            if len(rows) < page:
                return
            after = (rows[-1]["user_id"], rows[-1]["id"])

    async def user_state(self, app: str, user: str) -> dict[str, Any]:
        """What all sessions of the user share; empty if nothing was kept."""
        row = await self._statements.read(queries("app_sessions")["state"], app, user)
        return {} if row is None else dict(decode(row["state"]))

    async def delete(self, name: SessionName) -> None:
        """Delete the session and its events, if it is there; the user's and the app's state stay."""
        await self._statements.write(queries("app_sessions")["delete"], name.app, name.user, name.id)


def _session(app: str, row: Mapping[str, Any]) -> AppSession:
    return AppSession(
        name=SessionName(app, row["user_id"], row["id"]),
        revision=row["revision"],
        updated_at=row["updated_at"],
        states=States(decode(row["state"]), decode(row["user_state"]), decode(row["app_state"])),
        events=tuple(decode(content) for content in row["events"]),
    )

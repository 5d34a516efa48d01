"""Google ADK's sessions, kept where a failover can't lose them.

    runner = Runner(agent=agent, app_name="trips", session_service=OutliveSessionService(db))

An event and what it changes of the session's, the user's and the app's state are one transaction, retried for you
when the primary dies and applied once, by the event's id. A session that somebody else has gone on with is refused
with `StaleSessionError`, as ADK's own database service does.

State values must have a form in JSON, as for ADK's own database service; what has none is refused, not replaced by
its representation.

Source: ADK documentation, "Session"; `google.adk.sessions.BaseSessionService`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.platform import uuid as adk_uuid
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
from google.adk.sessions.session import Session
from google.adk.sessions.state import State
from pydantic_core import PydanticSerializationError, to_jsonable_python

from outlive import system
from outlive.client.cluster import Cluster
from outlive.errors import NotFoundError, UnstorableError, VersionConflictError
from outlive.stores import AgentState
from outlive.stores.app_sessions import AppSession, SessionName, States

try:
    from google.adk.errors._stale_session_error import StaleSessionError
except ImportError:  # older releases raise what it derives from
    StaleSessionError = ValueError  # type: ignore[assignment,misc]


class OutliveSessionService(BaseSessionService):
    """A session service on an Outlive cluster; the schema is made by `outlive migrate`."""

    def __init__(self, db: Cluster | AgentState) -> None:
        state = db if isinstance(db, AgentState) else AgentState(db)
        self._sessions = state.app_sessions

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Make a session.

        Raises:
            AlreadyExistsError: the user has one with this id.
            outlive.UnstorableError: the state can't be kept as it is.
        """
        chosen = (session_id or "").strip() or adk_uuid.new_uuid()
        name = SessionName(app_name, user_id, chosen)
        try:
            await self._sessions.create(name, _scoped(state or {}), system.now_utc())
        except VersionConflictError as error:
            raise AlreadyExistsError(f"Session with id {chosen} already exists.") from error
        made = await self._sessions.load(name)
        assert made is not None, "a session that was just made is there"
        return _session(made)

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """The session with its state and events, or None; shows every acknowledged write."""
        since = config.after_timestamp if config else None
        found = await self._sessions.load(
            SessionName(app_name, user_id, session_id.strip()),
            last=config.num_recent_events if config else None,
            since=None if since is None else _moment(since),
        )
        return None if found is None else _session(found)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """The sessions of a user, or of all, without events, those with the latest event last."""
        sessions = [_session(found) async for found in self._sessions.listed(app_name, user_id)]
        sessions.sort(key=lambda session: (session.last_update_time, session.user_id, session.id))
        return ListSessionsResponse(sessions=sessions)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete the session with its events, if it is there; the user's and the app's state stay."""
        await self._sessions.delete(SessionName(app_name, user_id, session_id.strip()))

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """The user's state, its keys without `user:`; empty if nothing was kept."""
        return await self._sessions.user_state(app_name, user_id)

    async def append_event(self, session: Session, event: Event) -> Event:
        """Append an event and apply its changes of the state; an event that is there already changes nothing.

        Raises:
            SessionNotFoundError: the session is not kept.
            StaleSessionError: somebody else has gone on with the session since it was loaded.
            outlive.UnstorableError: the event or the state can't be kept as it is.
        """
        if event.partial:
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        revision = await self._append(session, event)
        if all(known.id != event.id for known in session.events):
            self._commit_event_to_session(session, event)
        session.last_update_time = event.timestamp
        session._storage_update_marker = str(revision)  # noqa: SLF001 - where ADK has services keep it
        return event

    async def _append(self, session: Session, event: Event) -> int:
        marker = session._storage_update_marker  # noqa: SLF001
        try:
            return await self._sessions.append(
                SessionName(session.app_name, session.user_id, session.id),
                event.id,
                _moment(event.timestamp),
                event.model_dump(mode="json", by_alias=True, exclude_none=True),
                _scoped(event.actions.state_delta),
                expected=None if marker is None else int(marker),
            )
        except NotFoundError as error:
            raise SessionNotFoundError(f"Session {session.id} not found.") from error
        except VersionConflictError as error:
            raise StaleSessionError(str(error)) from error


def _scoped(state: Mapping[str, Any]) -> States:
    """State as it is kept, by its scope; `temp:` is not kept."""
    scopes: dict[str, dict[str, Any]] = {"": {}, State.USER_PREFIX: {}, State.APP_PREFIX: {}, State.TEMP_PREFIX: {}}
    for key, value in _jsonable(state).items():
        prefix = next((prefix for prefix in scopes if prefix and key.startswith(prefix)), "")
        scopes[prefix][key.removeprefix(prefix)] = value
    return States(scopes[""], scopes[State.USER_PREFIX], scopes[State.APP_PREFIX])


def _jsonable(state: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(to_jsonable_python(dict(state)))
    except (PydanticSerializationError, ValueError) as error:
        raise UnstorableError(f"the state can't be stored as JSON: {error}") from error


def _session(found: AppSession) -> Session:
    states = found.states
    session = Session(
        id=found.name.id,
        app_name=found.name.app,
        user_id=found.name.user,
        state={
            **states.session,
            **{State.APP_PREFIX + key: value for key, value in states.app.items()},
            **{State.USER_PREFIX + key: value for key, value in states.user.items()},
        },
        events=[Event.model_validate(event) for event in found.events],
        last_update_time=found.updated_at.timestamp(),
    )
    session._storage_update_marker = str(found.revision)  # noqa: SLF001
    return session


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)

"""What every session service of Google ADK has to do: one suite for the framework's own service and for ours."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig
from google.genai.types import Blob, Content, FunctionCall, Part


def said(text: str, author: str = "user", at: float = 1.0, **delta: object) -> Event:
    """An event with a text, and what it changes of the state; `__` in a key stands for `:`."""
    changes = {key.replace("__", ":"): value for key, value in delta.items()}
    return Event(
        author=author,
        timestamp=at,
        content=Content(role=author, parts=[Part(text=text)]),
        actions=EventActions(state_delta=changes),
    )


def texts(events: list[Event]) -> list[str | None]:
    """What the events say."""
    return [event.content.parts[0].text for event in events if event.content and event.content.parts]


class SessionServiceConformance:
    """Inherited by a test class that has a fixture `service`."""

    @pytest.fixture
    def app(self) -> str:
        """An app that nobody else has."""
        return f"app-{uuid4()}"

    async def test_a_session_is_made_with_its_state(self, service: BaseSessionService, app: str) -> None:
        """Each scope's state is there at once, and what is `temp:` isn't kept."""
        made = await service.create_session(
            app_name=app,
            user_id="u",
            session_id=" s ",
            state={"a": 1, "user:b": [2], "app:c": {"d": None}, "temp:e": 5},
        )
        assert (made.id, made.app_name, made.user_id, made.events) == ("s", app, "u", [])
        kept = await service.get_session(app_name=app, user_id="u", session_id="s")
        assert kept is not None
        assert kept.state == made.state == {"a": 1, "user:b": [2], "app:c": {"d": None}}
        assert await service.get_user_state(app_name=app, user_id="u") == {"b": [2]}
        assert await service.get_user_state(app_name=app, user_id="nobody") == {}

    async def test_a_session_without_an_id_gets_one(self, service: BaseSessionService, app: str) -> None:
        """Two of them are two sessions."""
        made = [await service.create_session(app_name=app, user_id="u") for _ in range(2)]
        assert len({session.id for session in made}) == 2

    async def test_an_id_is_taken_once(self, service: BaseSessionService, app: str) -> None:
        """For the same user; another user may have the same id."""
        await service.create_session(app_name=app, user_id="u", session_id="s", state={"user:a": 1})
        with pytest.raises(AlreadyExistsError):
            await service.create_session(app_name=app, user_id="u", session_id="s", state={"user:a": 2})
        other = await service.create_session(app_name=app, user_id="v", session_id="s")
        assert other.state == {}
        assert await service.get_user_state(app_name=app, user_id="u") == {"a": 1}

    async def test_an_unknown_session_is_none(self, service: BaseSessionService, app: str) -> None:
        """Nothing is made by looking or deleting."""
        assert await service.get_session(app_name=app, user_id="u", session_id="s") is None
        await service.delete_session(app_name=app, user_id="u", session_id="s")
        assert (await service.list_sessions(app_name=app)).sessions == []

    async def test_events_come_back_whole_and_in_order(self, service: BaseSessionService, app: str) -> None:
        """Text of any alphabet, bytes and calls are equal after a load, whatever their times say."""
        session = await service.create_session(app_name=app, user_id="u", session_id="s")
        call = Part(function_call=FunctionCall(id="c", name="book", args={"seat": "12A", "price": 0.5}))
        blob = Part(inline_data=Blob(data=b"\x00\xff", mime_type="image/png"))
        events = [
            said("Grüezi 🚆 \u2028 \\u0000", at=3.0),
            Event(author="agent", timestamp=2.0, content=Content(role="model", parts=[call, blob])),
            said("ja", author="agent", at=2.0),
        ]
        for event in events:
            assert await service.append_event(session, event) == event
        kept = await service.get_session(app_name=app, user_id="u", session_id="s")
        assert kept is not None
        assert kept.events == events == session.events
        assert kept.last_update_time == session.last_update_time == 2.0

    async def test_state_of_three_scopes(self, service: BaseSessionService, app: str) -> None:
        """An event's changes are seen by whom their scope says, and `temp:` only by the running session."""
        first = await service.create_session(app_name=app, user_id="u", session_id="1", state={"a": 0, "k": 9})
        await service.append_event(first, said("x", a=1, user__b=2, app__c=3, temp__d=4))
        assert first.state == {"a": 1, "k": 9, "user:b": 2, "app:c": 3, "temp:d": 4}
        assert first.events[0].actions.state_delta == {"a": 1, "user:b": 2, "app:c": 3}
        again = await service.get_session(app_name=app, user_id="u", session_id="1")
        same_user = await service.create_session(app_name=app, user_id="u", session_id="2")
        other_user = await service.create_session(app_name=app, user_id="v", session_id="3")
        assert again is not None
        assert again.state == {"a": 1, "k": 9, "user:b": 2, "app:c": 3}
        assert same_user.state == {"user:b": 2, "app:c": 3}
        assert other_user.state == {"app:c": 3}

    async def test_the_same_event_twice_is_kept_once(self, service: BaseSessionService, app: str) -> None:
        """A repeated append neither doubles the event nor applies its changes again."""
        session = await service.create_session(app_name=app, user_id="u", session_id="s")
        event = said("x", n=1)
        await service.append_event(session, event)
        await service.append_event(session, said("y", n=2))
        await service.append_event(session, event.model_copy(deep=True))
        await service.append_event(session, said("z"))
        kept = await service.get_session(app_name=app, user_id="u", session_id="s")
        assert kept is not None
        assert texts(kept.events) == texts(session.events) == ["x", "y", "z"]
        assert kept.state == {"n": 2}

    async def test_a_partial_event_is_not_kept(self, service: BaseSessionService, app: str) -> None:
        """What streams in is not stored until it is whole."""
        session = await service.create_session(app_name=app, user_id="u", session_id="s")
        await service.append_event(session, said("x").model_copy(update={"partial": True}))
        kept = await service.get_session(app_name=app, user_id="u", session_id="s")
        assert kept is not None
        assert kept.events == session.events == []

    async def test_a_session_that_is_gone_takes_no_event(self, service: BaseSessionService, app: str) -> None:
        """An event for a deleted session is refused; the user's state outlives the session."""
        session = await service.create_session(app_name=app, user_id="u", session_id="s", state={"user:a": 1})
        await service.delete_session(app_name=app, user_id="u", session_id="s")
        with pytest.raises(SessionNotFoundError):
            await service.append_event(session, said("x"))
        again = await service.create_session(app_name=app, user_id="u", session_id="s")
        assert (again.events, again.state) == ([], {"user:a": 1})

    async def test_the_last_events_can_be_asked_for(self, service: BaseSessionService, app: str) -> None:
        """So many, not older than, both, or none; the state is whole all the same."""
        session = await service.create_session(app_name=app, user_id="u", session_id="s")
        for n in range(5):
            await service.append_event(session, said(str(n), at=float(n), n=n))

        async def asked(**config: float) -> list[str | None]:
            kept = await service.get_session(
                app_name=app, user_id="u", session_id="s", config=GetSessionConfig.model_validate(config)
            )
            assert kept is not None
            assert kept.state == {"n": 4}
            return texts(kept.events)

        assert await asked(num_recent_events=2) == ["3", "4"]
        assert await asked(num_recent_events=0) == []
        assert await asked(num_recent_events=9) == ["0", "1", "2", "3", "4"]
        assert await asked(after_timestamp=3.0) == ["3", "4"]
        assert await asked(num_recent_events=1, after_timestamp=1.0) == ["4"]

    async def test_sessions_are_listed_the_latest_last(self, service: BaseSessionService, app: str) -> None:
        """Of one user or of all, with their state and without their events."""
        made = [await service.create_session(app_name=app, user_id=user, session_id=f"s{user}") for user in "vuv"[:2]]
        await service.create_session(app_name=app + "x", user_id="u", session_id="other")
        for place, session in enumerate(reversed(made)):
            await service.append_event(session, said("x", at=4e9 + place, a=place, app__b=2, user__c=session.user_id))
        listed = (await service.list_sessions(app_name=app)).sessions
        assert [(each.user_id, each.id, each.events) for each in listed] == [("u", "su", []), ("v", "sv", [])]
        assert listed[0].state == {"a": 0, "app:b": 2, "user:c": "u"}
        assert [each.id for each in (await service.list_sessions(app_name=app, user_id="v")).sessions] == ["sv"]

    async def test_many_append_at_once(self, service: BaseSessionService, app: str) -> None:
        """Sessions of one user don't lose each other's changes of the shared state."""
        sessions = [await service.create_session(app_name=app, user_id="u") for _ in range(8)]

        async def work(place: int) -> None:
            for n in range(5):
                await service.append_event(
                    sessions[place], said("x", "user", 1.0, **{f"user__{place}_{n}": n, "app__n": n})
                )

        await asyncio.gather(*(work(place) for place in range(8)))
        state = await service.get_user_state(app_name=app, user_id="u")
        assert len(state) == 40

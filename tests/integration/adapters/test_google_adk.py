"""Google ADK's session service on a real cluster, held against the framework's own."""

from __future__ import annotations

from uuid import uuid4

import pytest
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.sessions.base_session_service import BaseSessionService
from google.adk.sessions.in_memory_session_service import InMemorySessionService

import outlive
from conformance.session_service import SessionServiceConformance, said, texts
from outlive.adapters.google_adk import OutliveSessionService
from outlive.stores import AgentState
from outlive.stores.app_sessions import SessionName, States
from outlive.stores.queries import queries
from outlive.system import now_utc


class TestInMemory(SessionServiceConformance):
    """The framework's own service passes the suite: it asks for nothing that the seam doesn't."""

    @pytest.fixture
    def service(self) -> BaseSessionService:
        """A service that forgets."""
        return InMemorySessionService()


class TestOutlive(SessionServiceConformance):
    """Ours."""

    @pytest.fixture
    def service(self, db: outlive.Cluster) -> BaseSessionService:
        """A service on the cluster."""
        return OutliveSessionService(db)


async def test_a_stale_session_is_refused(db: outlive.Cluster) -> None:
    """Of two copies, the one that somebody has gone on from takes no event, and nothing of it is kept."""
    service = OutliveSessionService(db)
    mine = await service.create_session(app_name="stale", user_id="u", session_id="s")
    theirs = await service.get_session(app_name="stale", user_id="u", session_id="s")
    assert theirs is not None
    await service.append_event(theirs, said("theirs"))
    with pytest.raises(StaleSessionError):
        await service.append_event(mine, said("mine", user__a=1))
    kept = await service.get_session(app_name="stale", user_id="u", session_id="s")
    assert kept is not None
    assert texts(kept.events) == ["theirs"]
    assert kept.state == {}


async def test_the_same_creation_twice_is_one(db: outlive.Cluster, state: AgentState) -> None:
    """A creation that is said again after a lost answer changes nothing, and is no refusal."""
    attempt, made = uuid4(), now_utc()
    for _ in range(2):
        creation = queries("app_sessions")["create"]
        await db.fetchval(creation, "a", "u", "s", attempt, made, '{"n": 1}', "{}", "{}", read="strong")
    kept = await state.app_sessions.load(SessionName("a", "u", "s"))
    assert kept is not None
    assert kept.states.app == {"n": 1}


@pytest.mark.parametrize("value", [object(), float("nan"), "a\0b"])
async def test_state_that_cannot_be_kept_is_refused(db: outlive.Cluster, value: object) -> None:
    """A typed error, and nothing of the event is kept."""
    service = OutliveSessionService(db)
    session = await service.create_session(app_name="refused", user_id="u")
    with pytest.raises(outlive.UnstorableError):
        await service.append_event(session, said("x", a=value))
    kept = await service.get_session(app_name="refused", user_id="u", session_id=session.id)
    assert kept is not None
    assert (kept.events, kept.state) == ([], {})


async def test_sessions_are_listed_over_several_pages(state: AgentState) -> None:
    """A listing goes on until the last session, of one user or of all."""
    names = [SessionName("pages", user, str(n)) for user in "uv" for n in range(3)]
    for name in names:
        await state.app_sessions.create(name, States(), now_utc())
    assert [found.name async for found in state.app_sessions.listed("pages", page=2)] == names
    assert [found.name async for found in state.app_sessions.listed("pages", "v", page=2)] == names[3:]

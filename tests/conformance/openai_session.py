"""What every session of the OpenAI Agents SDK has to do: one suite for the SDK's own session and for ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast
from uuid import uuid4

import pytest
from agents import Agent, RunConfig, Runner, function_tool
from agents.items import TResponseInputItem
from agents.memory import Session, SessionSettings
from agents.testing import ScriptedModel, assistant_message, function_call

Opener = Callable[..., Session]
QUIET = RunConfig(tracing_disabled=True)


def items(*texts: str) -> list[TResponseInputItem]:
    """Messages of a user."""
    return [{"role": "user", "content": text} for text in texts]


def texts(found: list[TResponseInputItem]) -> list[Any]:
    """What messages say."""
    return [cast("dict[str, Any]", item)["content"] for item in found]


class OpenAISessionConformance:
    """Inherited by a test class that has a fixture `opened`, which opens a session by its id."""

    @pytest.fixture
    def session(self, opened: Opener) -> Session:
        """A new session."""
        return opened(str(uuid4()))

    async def test_items_come_back_in_order(self, session: Session) -> None:
        """Whatever is in them, the same ones twice too."""
        added = [*items("Grüezi 🚆 '; drop table turns; --", "a", "a"), {"type": "reasoning", "id": "r", "summary": []}]
        await session.add_items(cast("list[TResponseInputItem]", added))
        await session.add_items([])
        assert await session.get_items() == added

    async def test_a_limit_gives_the_latest(self, session: Session) -> None:
        """In order; none for 0, all for more than there are."""
        await session.add_items(items("a", "b", "c"))
        assert texts(await session.get_items(limit=2)) == ["b", "c"]
        assert await session.get_items(limit=0) == []
        assert texts(await session.get_items(limit=9)) == ["a", "b", "c"]

    async def test_the_settings_limit_counts_where_none_is_given(self, opened: Opener) -> None:
        """A limit of the call goes before it."""
        session = opened(str(uuid4()), session_settings=SessionSettings(limit=1))
        await session.add_items(items("a", "b", "c"))
        assert texts(await session.get_items()) == ["c"]
        assert texts(await session.get_items(limit=2)) == ["b", "c"]

    async def test_the_latest_item_is_popped(self, session: Session) -> None:
        """One at a time, until there is none; what is added then follows what was left."""
        await session.add_items(items("a", "b"))
        assert texts([cast("TResponseInputItem", await session.pop_item())]) == ["b"]
        await session.add_items(items("c"))
        assert texts(await session.get_items()) == ["a", "c"]
        assert [await session.pop_item() for _ in range(3)] == [*reversed(items("a", "c")), None]

    async def test_a_cleared_session_begins_anew(self, session: Session) -> None:
        """It may be cleared when it is empty, too."""
        await session.clear_session()
        await session.add_items(items("a"))
        await session.clear_session()
        assert await session.get_items() == []
        await session.add_items(items("b"))
        assert texts(await session.get_items()) == ["b"]

    async def test_sessions_are_apart(self, opened: Opener) -> None:
        """Popping or clearing one leaves the other."""
        one, other = opened(str(uuid4())), opened(str(uuid4()))
        await one.add_items(items("a"))
        await other.add_items(items("b"))
        await one.clear_session()
        assert await one.pop_item() is None
        assert texts(await other.get_items()) == ["b"]

    async def test_many_add_at_once(self, session: Session) -> None:
        """Nothing is lost, and what one call adds stays together."""
        await asyncio.gather(*(session.add_items(items(f"{n}a", f"{n}b")) for n in range(12)))
        found = texts(await session.get_items())
        assert len(found) == 24
        assert all(found[place + 1] == f"{found[place][:-1]}b" for place in range(0, 24, 2))

    async def test_runs_go_on_from_what_was_kept(self, opened: Opener) -> None:
        """A second run's model is sent the first one's messages, tool call and result."""
        name, booked = str(uuid4()), list[str]()

        @function_tool
        def book(seat: str) -> str:
            booked.append(seat)
            return f"booked {seat}"

        call = function_call("book", {"seat": "12A"}, call_id="c1")
        model = ScriptedModel([[call], [assistant_message("Done.")], [assistant_message("12A.")]])
        agent = Agent(name="clerk", model=model, tools=[book])
        await Runner.run(agent, "Book a seat.", session=opened(name), run_config=QUIET)
        again = await Runner.run(agent, "Which?", session=opened(name), run_config=QUIET)
        assert again.final_output == "12A."
        assert booked == ["12A"]
        assert model.last_call is not None
        assert [item.get("type") or item.get("role") for item in model.last_call.input] == [
            "user", "function_call", "function_call_output", "message", "user",
        ]  # fmt: skip
        assert len(await opened(name).get_items()) == 6

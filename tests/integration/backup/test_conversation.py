from __future__ import annotations

from pathlib import Path

import pytest

import outlive
from integration.backup.hand_made import HandMade, now
from integration.client.servers import Servers
from outlive import stores
from outlive.backup.plan.recovery import Wish
from outlive.backup.plan.targets import TimeTarget
from outlive.backup.restoring.conversation import Lost, bring_back
from outlive.errors import NotFoundError
from outlive.object_storage.opening import open_store
from outlive.stores import AgentState, Conversations


async def test_a_conversation_comes_back_beside_the_live_one(source: Servers, room: Path) -> None:
    """It has the turns of the moment asked for, under an id of its own; what was said since stays where it is."""
    made = HandMade(open_store("memory://"))
    await source.configure("n1", synchronous_standby_names="")
    dsn = source.dsn(names=("n1",))
    await stores.migrate(dsn)
    await made.back_up(source, "n1", "full")
    async with outlive.connect(dsn, degraded="allow") as db:
        conversations = AgentState(db).conversations
        await _say(conversations, "kept")
        at = now()
        await _say(conversations, "said later")
        await made.archive(source, "n1")
        material = made.material()
        lost = Lost(conversation="booking", wish=Wish(target=TimeTarget(at)), database="postgres", scratch=room)
        back = await bring_back(material, lost, db)
        assert (back.turns, back.id) == (1, f"booking@{at.isoformat()}")
        assert [turn.content for turn in (await conversations.load(back.id)).turns] == ["kept"]
        assert len((await conversations.load("booking")).turns) == 2
        assert (await bring_back(material, lost, db)).turns == 1
        never = Lost(conversation="never", wish=lost.wish, database="postgres", scratch=room)
        with pytest.raises(NotFoundError, match="never"):
            await bring_back(material, never, db)
    assert not list(room.iterdir())  # noqa: ASYNC240 - a handful of names


async def _say(conversations: Conversations, words: str) -> None:
    async with await conversations.open("booking", worker="w1") as held:
        await held.append(words, "user", words)

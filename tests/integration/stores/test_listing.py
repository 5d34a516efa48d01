"""Conversations are found again: in pages, by status, by time, by metadata."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

import outlive
from outlive.errors import ConfigurationError, NotFoundError
from outlive.stores import AgentState
from outlive.stores.queries import queries


@pytest.fixture
async def names(state: AgentState) -> list[str]:
    """Five conversations, made in this order; the last one is complete."""
    made = [f"listed-{uuid4()}" for _ in range(5)]
    for number, name in enumerate(made):
        metadata = {"run": made[0], "number": number, "trip": {"class": number % 2}}
        conversation = await state.conversations.open(name, worker="alice", metadata=metadata)
        await conversation.append("t0", "user", number)
        if number == 4:
            await conversation.complete()
    return made


async def test_pages_go_from_the_newest_to_the_oldest(state: AgentState, names: list[str]) -> None:
    """Pages leave nothing out and end; a conversation that changes meanwhile keeps its place."""
    seen: list[str] = []
    after = None
    for _ in range(3):
        page = await state.conversations.search({"run": names[0]}, limit=2, after=after)
        seen += [each.id for each in page.conversations]
        after = page.next
        await (await state.conversations.open(names[0], worker="alice")).append(f"t-{uuid4()}", "user", 0)
    assert seen == names[::-1]
    assert after is None
    assert [each.id for each in (await state.conversations.list(limit=5)).conversations] == names[::-1]


async def test_a_summary_tells_all_but_what_was_said(state: AgentState, names: list[str]) -> None:
    """Counts, metadata, holder and times are those of the conversation."""
    last, held, *_ = (await state.conversations.list(limit=5)).conversations
    assert (last.status, last.worker, last.lease_until) == ("complete", None, None)
    assert (held.status, held.worker, held.turn_count, held.checkpoint_version) == ("open", "alice", 1, 0)
    assert held.metadata == {"run": names[0], "number": 3, "trip": {"class": 1}}
    assert held.lease_until is not None
    assert held.created_at <= held.updated_at < held.lease_until


async def test_only_a_status_or_what_changed_lately(state: AgentState, names: list[str]) -> None:
    """Both narrow a list and a search."""
    listed = await state.conversations.list(status="complete", limit=1)
    assert [each.id for each in listed.conversations] == names[4:]
    found = await state.conversations.search({"run": names[0]}, status="open")
    assert [each.id for each in found.conversations] == names[3::-1]
    later = datetime.now(UTC) + timedelta(hours=1)
    assert (await state.conversations.list(updated_since=later)).conversations == ()
    assert (await state.conversations.search({"run": names[0]}, updated_since=later)).conversations == ()


async def test_metadata_is_searched_at_any_depth(state: AgentState, names: list[str]) -> None:
    """What is asked for has to be contained; numbers are no strings."""
    found = await state.conversations.search({"run": names[0], "trip": {"class": 1}})
    assert [each.id for each in found.conversations] == [names[3], names[1]]
    assert (await state.conversations.search({"run": names[0], "number": "3"})).conversations == ()


async def test_a_search_can_use_the_index(db: outlive.Cluster) -> None:
    """The search's own statement finds its keys through the index once there is enough to search."""
    arguments = "9223372036854775807, '-infinity', 10, NULL, '{\"customer\": \"c-1\"}'"
    async with db.connection() as connection:
        await connection.execute(f"PREPARE sought AS {queries('listing')['by_metadata']}")
        await connection.execute("SET enable_seqscan = off")
        plan = await connection.fetch(f"EXPLAIN EXECUTE sought ({arguments})")
    assert any("conversations_metadata" in row[0] for row in plan)


async def test_metadata_is_changed_without_a_lease(state: AgentState, names: list[str]) -> None:
    """A merge keeps what it does not name, a set replaces all, and either finds only what is there."""
    merged = await state.conversations.merge_metadata(names[0], {"number": 9, "new": None}, remove=["trip"])
    assert merged == {"run": names[0], "number": 9, "new": None}
    assert await state.conversations.set_metadata(names[0], {"only": [1]}) == {"only": [1]}
    assert (await state.conversations.load(names[0])).metadata == {"only": [1]}
    with pytest.raises(NotFoundError, match="'nobody'"):
        await state.conversations.merge_metadata("nobody", {})


@pytest.mark.parametrize(
    "wrong",
    [{"limit": 0}, {"limit": 1001}, {"after": "x"}, {"status": "closed"}, {"updated_since": datetime(2026, 1, 1)}],  # noqa: DTZ001
)
async def test_what_cannot_be_asked_for_is_refused(state: AgentState, wrong: dict[str, object]) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError):
        await state.conversations.list(**wrong)  # type: ignore[arg-type]

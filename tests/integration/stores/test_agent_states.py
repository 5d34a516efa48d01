"""An agent's state in versions, on a real cluster."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

import outlive
from outlive.stores import AgentState
from outlive.stores.queries import queries

STATE = {"goal": "fly", "steps": [{"n": n, "text": "x" * 100} for n in range(40)], "small": [1, "a", None], "none": []}


async def test_a_state_comes_back(state: AgentState) -> None:
    """As it was, keys in their order, whatever JSON it is; each version can still be read."""
    assert await state.load_agent_state("a") is None
    assert await state.save_agent_state("a", STATE, 0) == 1
    changed = {**STATE, "goal": "Grüezi 🚆" * 20, "steps": [*STATE["steps"][:-1], {"n": "last"}]}
    assert await state.save_agent_state("a", changed, 1) == 2
    latest, first = await state.load_agent_state("a"), await state.load_agent_state("a", 1)
    assert latest is not None
    assert first is not None
    assert (latest.version, latest.state, list(latest.state)) == (2, changed, list(changed))
    assert first.state == STATE


async def test_a_version_that_somebody_else_saved_is_refused(state: AgentState) -> None:
    """Of two that change the same version one is told so, with the version that there is, and nothing of it is kept."""
    await state.save_agent_state("two", {"n": 0}, 0)
    answers = await asyncio.gather(
        *(state.save_agent_state("two", {"n": n}, 1) for n in range(8)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in answers) == ["VersionConflictError"] * 7 + ["int"]
    with pytest.raises(outlive.VersionConflictError, match="at version 2, not 7"):
        await state.save_agent_state("two", {"n": 9}, 7)
    kept = await state.load_agent_state("two")
    assert kept is not None
    assert kept.version == 2
    assert kept.state == {"n": answers.index(2)}


async def test_the_same_save_twice_is_one(db: outlive.Cluster) -> None:
    """What a retry after a lost answer says again is no conflict."""
    nothing: list[list[Any]] = [[]] * 6
    args: list[Any] = ["said-twice", 0, uuid4(), "{}", [], *nothing]
    for _ in range(2):
        assert await db.fetchval(queries("agent_states")["save"], *args, read="strong") == 1


async def test_a_save_costs_what_it_changes(state: AgentState, db: outlive.Cluster) -> None:
    """A hundred versions of a state of 5 KB, each of which appends a little, take far less than a hundred times it."""
    steps: list[Any] = list(STATE["steps"])
    for version in range(100):
        steps.append({"n": version, "text": "y" * 100})
        await state.save_agent_state("grown", {**STATE, "steps": steps}, version)
    stored = await db.fetchval(
        """select sum(pg_column_size(o.*)) from outlive.objects o join outlive.object_scopes s on s.key = o.scope
        where s.id = 'grown'"""
    )
    assert stored < 120_000


async def test_pruned_versions_are_gone(state: AgentState, db: outlive.Cluster) -> None:
    """The latest stays whole; with none kept, nothing of the agent is left."""
    for version in range(3):
        await state.save_agent_state("pruned", {**STATE, "n": "z" * 100 * version}, version)
    assert await state.checkpoints.prune("pruned") == 2
    assert await state.load_agent_state("pruned", 1) is None
    kept = await state.load_agent_state("pruned")
    assert kept is not None
    assert kept.state == {**STATE, "n": "z" * 200}
    assert await state.checkpoints.prune("pruned", keep=0) == 1
    assert await db.fetchval("select count(*) from outlive.object_scopes where id = 'pruned'") == 0


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"a": object()}, "JSON"),
        ({"a": ["b", "c\0"]}, "NUL"),
        ({"a\0": 1}, "NUL"),
        ({"a": "x" * 9_000_000}, "9,000,002 bytes"),
        ([1], "dictionary"),
    ],
    ids=["no-form", "nul", "nul-in-key", "too-large", "no-dictionary"],
)
async def test_what_cannot_be_kept_is_refused(state: AgentState, broken: Any, said: str) -> None:
    """A typed error that says why, and nothing is kept."""
    with pytest.raises(outlive.UnstorableError, match=said):
        await state.save_agent_state("refused", broken, 0)
    assert await state.load_agent_state("refused") is None

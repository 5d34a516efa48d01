"""Preferences on a real cluster: typed, in versions, each change once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any, Literal
from uuid import uuid4

import pytest

import outlive
from integration.test_conversations_cut_commits import through
from outlive.errors import ConfigurationError, StateError, UnstorableError, VersionConflictError
from outlive.stores import AgentState
from outlive.testing import FaultProxy


@dataclass(frozen=True)
class Seat:
    """A value of a type of the caller's own."""

    row: int
    side: Literal["window", "aisle"]


@pytest.fixture
def subject() -> str:
    """A subject that no other test uses."""
    return f"s-{uuid4()}"


async def test_what_is_set_comes_back_as_its_type(state: AgentState, subject: str) -> None:
    """Values of JSON, dates and dataclasses come back as what they were; what is not there is the default."""
    kept: list[tuple[str, Any, Any]] = [
        ("dark", True, bool),
        ("size", 12, int),
        ("seat", Seat(12, "window"), Seat),
        ("birthday", date(1990, 2, 28), date),
        ("tags", ["a", "b"], list[str]),
        ("nothing", None, type(None)),
    ]
    for key, value, _ in kept:
        assert await state.preferences.set(subject, key, value) == 1
    for key, value, wanted in kept:
        assert await state.preferences.get(subject, key, type=wanted, default="absent") == value
    assert await state.preferences.get(subject, "seat") == {"row": 12, "side": "window"}
    assert await state.preferences.get(subject, "absent", type=bool, default=False) is False
    assert {key: found.version for key, found in (await state.preferences.all(subject)).items()} == {
        key: 1 for key, _, _ in kept
    }


@pytest.mark.parametrize(("value", "wanted"), [(1, bool), (True, int), ("1", int), ({"row": 1}, Seat), (None, str)])
async def test_another_type_is_refused(state: AgentState, subject: str, value: Any, wanted: Any) -> None:
    """Nothing is turned into another type silently; the error names the preference."""
    await state.preferences.set(subject, "k", value)
    with pytest.raises(StateError, match="the preference 'k'"):
        await state.preferences.get(subject, "k", type=wanted)


async def test_versions_are_kept_and_expected(state: AgentState, subject: str) -> None:
    """Each change is a version, a deletion too; one that expects another version than there is changes nothing."""
    preferences = state.preferences
    assert await preferences.delete(subject, "k") == 0
    assert await preferences.set(subject, "k", "a", expected_version=0) == 1
    with pytest.raises(VersionConflictError, match="has version 1, not 0"):
        await preferences.set(subject, "k", "b", expected_version=0)
    assert await preferences.set(subject, "k", "b", expected_version=1) == 2
    with pytest.raises(VersionConflictError, match="has version 2, not 1"):
        await preferences.delete(subject, "k", expected_version=1)
    assert await preferences.delete(subject, "k", expected_version=2) == 3
    assert await preferences.delete(subject, "k") == 3
    assert (await preferences.find(subject, "k"), await preferences.get(subject, "k", default=7)) == (None, 7)
    assert await preferences.set(subject, "k", "c") == 4
    history = await preferences.history(subject, "k")
    assert [(each.version, each.value, each.deleted) for each in history] == [
        (4, "c", False),
        (3, None, True),
        (2, "b", False),
        (1, "a", False),
    ]
    with pytest.raises(VersionConflictError, match="has version 0, not 5"):
        await preferences.set(subject, "new", "x", expected_version=5)


async def test_of_writers_that_expect_the_same_version_one_wins(state: AgentState, subject: str) -> None:
    """The others are told of the conflict, and no change is lost."""

    async def count_up() -> None:
        while True:
            found = await state.preferences.find(subject, "n")
            value, version = (found.value, found.version) if found else (0, 0)
            try:
                await state.preferences.set(subject, "n", value + 1, expected_version=version)
            except VersionConflictError:
                continue
            return

    async with asyncio.timeout(60):
        await asyncio.gather(*(count_up() for _ in range(12)))
    assert await state.preferences.get(subject, "n", type=int) == 12


async def test_a_change_whose_answer_was_lost_is_one_version(
    state: AgentState, db: outlive.Cluster, database: str, subject: str
) -> None:
    """Two of five commits are cut: the retry finds its own version, even where others came after it."""
    async with FaultProxy((await db.wait_primary()).address.port, random=Random(3)) as proxy:
        proxy.cut_commit("before", probability=0.2)
        proxy.cut_commit("after", probability=0.25)
        async with outlive.connect(through(proxy.port, database)) as cut:
            preferences = AgentState(cut).preferences
            versions = await asyncio.gather(*(preferences.set(subject, "k", number) for number in range(30)))
    assert {"before", "after"} <= set(proxy.cuts)
    assert sorted(versions) == list(range(1, 31))
    assert len(await state.preferences.history(subject, "k")) == 30


async def test_a_subject_is_erased_whole(state: AgentState, subject: str) -> None:
    """Nothing of it is left, its history included; another subject's is."""
    for name in (subject, f"{subject}-other"):
        for value in range(3):
            await state.preferences.set(name, "a", value)
            await state.preferences.set(name, "b", value)
    assert await state.preferences.erase(subject) == 2
    assert await state.preferences.all(subject) == {}
    assert await state.preferences.history(subject, "a") == ()
    assert len(await state.preferences.history(f"{subject}-other", "a")) == 3


@pytest.mark.parametrize("bad", [{1: 2}, float("nan"), "a\0", object(), "x" * 9_000_000])
async def test_a_value_that_can_not_be_kept_is_refused(state: AgentState, subject: str, bad: Any) -> None:
    """The error names the preference, and nothing was kept."""
    with pytest.raises(UnstorableError, match="the preference 'k'"):
        await state.preferences.set(subject, "k", bad)
    assert await state.preferences.all(subject) == {}


@pytest.mark.parametrize("bad", [-1, True, "1", 1.0])
async def test_a_version_that_is_none_is_refused(state: AgentState, subject: str, bad: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="expected_version"):
        await state.preferences.set(subject, "k", 1, expected_version=bad)

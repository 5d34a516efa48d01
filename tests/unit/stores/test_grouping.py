"""Calls are gathered while others are under way: in order, bounded, each with its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from outlive.errors import CommitUnknownError, NotFoundError, PoolTimeoutError
from outlive.stores.grouping import MAX_GROUP_BYTES, MAX_GROUP_CALLS, Grouping

LONG_S = 30.0


class Sender:
    """A sender that waits until it is let go, and keeps what each group held."""

    def __init__(self) -> None:
        self.groups: list[Sequence[str]] = []
        self.let_go = asyncio.Event()

    async def send(self, calls: Sequence[str]) -> Sequence[str | Exception]:
        """The calls themselves; one that says `bad` ends the whole group, one that says `no` is refused alone."""
        self.groups.append(calls)
        await self.let_go.wait()
        if "bad" in calls:
            raise ValueError("bad")
        if "gone" in calls:
            raise CommitUnknownError("gone")
        return [NotFoundError(call) if call == "no" else call.upper() for call in calls]


async def settled(calls: Sequence[tuple[str, str, int]], sender: Sender) -> list[str | BaseException]:
    """The answers to calls of (subject, call, bytes) that are made at once."""
    grouping = Grouping[str, str](sender.send)
    tasks = [asyncio.create_task(grouping.call(*call, LONG_S)) for call in calls]
    await asyncio.sleep(0)
    sender.let_go.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_calls_of_one_moment_go_together() -> None:
    """A group holds each subject once; the second call of one goes with the next group."""
    sender = Sender()
    assert await settled([("a", "a1", 1), ("b", "b1", 1), ("a", "a2", 1)], sender) == ["A1", "B1", "A2"]
    assert sender.groups == [["a1", "b1"], ["a2"]]


async def test_a_group_is_bounded() -> None:
    """In calls and in bytes; one that is larger than a group goes alone."""
    sender = Sender()
    await settled([(str(number), "x", 1) for number in range(MAX_GROUP_CALLS + 1)], sender)
    assert [len(group) for group in sender.groups] == [MAX_GROUP_CALLS, 1]
    sender = Sender()
    await settled([("a", "a", 1), ("b", "b", 2 * MAX_GROUP_BYTES), ("c", "c", 1)], sender)
    assert sorted(map(sorted, sender.groups)) == [["a", "c"], ["b"]]


async def test_a_refusal_is_its_caller_s_own() -> None:
    """A value that is an error is raised for its call, the others are answered."""
    first, second = await settled([("a", "no", 1), ("b", "yes", 1)], Sender())
    assert isinstance(first, NotFoundError)
    assert second == "YES"


async def test_what_spoils_a_group_is_found() -> None:
    """The calls are sent again by halves; the bad one fails alone."""
    sender = Sender()
    first, second, third = await settled([("a", "x", 1), ("b", "bad", 1), ("c", "y", 1)], sender)
    assert (first, third) == ("X", "Y")
    assert isinstance(second, ValueError)
    assert sender.groups == [["x", "bad", "y"], ["x"], ["bad", "y"], ["bad"], ["y"]]


async def test_a_lost_answer_is_everybody_s_and_is_not_sent_again() -> None:
    """Each caller gets an error of its own."""
    sender = Sender()
    first, second = await settled([("a", "x", 1), ("b", "gone", 1)], sender)
    assert isinstance(first, CommitUnknownError)
    assert isinstance(second, CommitUnknownError)
    assert first is not second
    assert len(sender.groups) == 1


async def test_a_cancelled_caller_takes_back_what_was_not_sent() -> None:
    """Two groups are under way; a call that waits is not sent once nobody wants it."""
    sender = Sender()
    grouping = Grouping[str, str](sender.send)
    under_way = [asyncio.create_task(grouping.call(name, name, 1, LONG_S)) for name in ("a", "b")]
    for _ in range(4):
        await asyncio.sleep(0)
    under_way.append(asyncio.create_task(grouping.call("a", "a2", 1, LONG_S)))
    for _ in range(4):
        await asyncio.sleep(0)
    waiting = asyncio.create_task(grouping.call("c", "c", 1, LONG_S))
    late = asyncio.create_task(grouping.call("d", "d", 1, 0.0))
    with pytest.raises(PoolTimeoutError, match="not sent"):
        await late
    waiting.cancel()
    sender.let_go.set()
    await asyncio.gather(*under_way)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert all("c" not in group and "d" not in group for group in sender.groups)

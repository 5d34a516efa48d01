"""Conversations come out of the reader as they went into it, or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.stores.plan.transfer import FlawError, Packed, packed_lines, read_lines

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MOMENTS = st.integers(0, 2**52 - 1)
COSTS = {"tokens": st.integers(0, 2**62), "dollars": st.decimals(0, 1000, places=4).map(str)}


def turns(count: int) -> st.SearchStrategy[list[Mapping[str, Any]]]:
    """Turns with different ids."""
    return st.tuples(
        *(
            st.fixed_dictionaries(
                {
                    "id": st.just(f"t{n}"),
                    "position": st.just(n),
                    "role": NAMES,
                    "content": VALUES,
                    "created_at_us": MOMENTS,
                    **COSTS,
                }
            )
            for n in range(count)
        )
    ).map(lambda drawn: [*drawn])


@st.composite
def conversations(draw: st.DrawFn) -> Packed:
    """A conversation with turns, a call and checkpoints."""
    header = {
        "id": draw(NAMES),
        "status": draw(st.sampled_from(["open", "complete"])),
        "metadata": draw(st.dictionaries(NAMES, VALUES, max_size=2)),
        "created_at_us": draw(MOMENTS),
        "updated_at_us": draw(MOMENTS),
    }
    call = {
        "key": "k", "name": draw(NAMES), "arguments": draw(st.lists(VALUES, max_size=2)), "status": "finished",
        "attempts": 1, "result": draw(VALUES), "error": None, "tokens": 1, "dollars": "0.5", "started_at_us": 1,
        "finished_at_us": 2,
    }  # fmt: skip
    checkpoint = {"version": 1, "turn_count": 0, "state": draw(VALUES), "created_at_us": 5}
    calls: list[Mapping[str, Any]] = [call] * draw(st.integers(0, 1))
    checkpoints: list[Mapping[str, Any]] = [checkpoint] * draw(st.integers(0, 1))
    return Packed(0, header, draw(turns(draw(st.integers(0, 3)))), calls, checkpoints)


def content(packed: Packed) -> tuple[object, ...]:
    """All of it but the line."""
    return packed.conversation, packed.turns, packed.tool_calls, packed.checkpoints


@given(st.lists(conversations(), max_size=3))
def test_what_is_written_is_read(packed: list[Packed]) -> None:
    """Any number of conversations in one file, each equal to itself."""
    lines = [line for each in packed for line in packed_lines(each)]
    assert all("\n" not in line for line in lines)
    assert [content(each) for each in read_lines(lines)] == [content(each) for each in packed]


@given(conversations(), st.data())
def test_a_file_that_lost_or_doubled_a_line_gives_no_conversation(packed: Packed, data: st.DataObject) -> None:
    """Whichever line it is: a flaw that has a line's number."""
    lines = list(packed_lines(packed))
    place = data.draw(st.integers(0, len(lines) - 1))
    if data.draw(st.booleans()) and len(lines) > 1:
        del lines[place]
    else:
        lines.insert(place, lines[place] if place else lines[-1] if len(lines) > 1 else "{}")
    with pytest.raises(FlawError, match=r"^line \d+: "):
        assert not [each for each in read_lines(lines) if content(each) != content(packed)]


@given(conversations(), st.data())
def test_a_line_cut_short_is_no_line(packed: Packed, data: st.DataObject) -> None:
    """Nothing of the conversation comes out before the flaw, whose line is the one that was cut."""
    lines = list(packed_lines(packed))
    place = data.draw(st.integers(0, len(lines) - 1))
    lines[place] = lines[place][: data.draw(st.integers(1, len(lines[place]) - 1))]
    found = []
    with pytest.raises(FlawError) as caught:
        found += list(read_lines(lines))
    assert (found, caught.value.line) == ([], place + 1)


@given(conversations(), st.sampled_from(["format", "id", "status", "metadata", "turns", "checkpoints"]), VALUES)
def test_a_header_with_another_field_is_refused_or_read(packed: Packed, name: str, value: object) -> None:
    """No header makes the reader fail in another way than by a flaw."""
    lines = list(packed_lines(packed))
    header = json.loads(lines[0])
    header["conversation"][name] = value
    with suppress(FlawError):
        list(read_lines([json.dumps(header), *lines[1:]]))

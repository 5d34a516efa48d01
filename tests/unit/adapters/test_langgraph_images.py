"""Images of values: what they tell, and what they give back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from outlive.adapters.langgraph.images import Images


def messages() -> list[Any]:
    """Some that are flat, and some that hold more than text."""
    called = {"name": "book", "args": {"seat": 12, "window": True}, "id": "c"}
    return [
        HumanMessage("hi", id="1"),
        AIMessage("", id="2", tool_calls=[called], additional_kwargs={"deep": {"n": [1, 2.5]}}),
        AIMessage("done", id="3", response_metadata={"model": "m"}),
        HumanMessage("bye", id="4", more="extra"),
    ]


CHANGES: list[Callable[[list[Any]], object]] = [
    lambda all_: setattr(all_[0], "content", "ho"),
    lambda all_: setattr(all_[0], "name", "ada"),
    lambda all_: all_[0].additional_kwargs.update(a=1),
    lambda all_: all_[1].additional_kwargs["deep"]["n"].append(3),
    lambda all_: all_[1].tool_calls[0]["args"].update(window=1),
    lambda all_: all_[2].response_metadata.update(model="n"),
    lambda all_: setattr(all_[3], "more", "other"),
    lambda all_: all_.reverse(),
    lambda all_: all_.__setitem__(0, AIMessage("hi", id="1")),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("parts", [[4], [2, 2], [1, 1, 1, 1]], ids=str)
def test_a_change_is_told(change: Callable[[list[Any]], object], parts: list[int]) -> None:
    """Wherever it is, True for 1 too; and what wasn't changed is the same, however many images were taken at once."""
    values = messages()
    seen = taken(values, parts)
    assert seen.are_of(values)
    change(values)
    assert not seen.are_of(values)


@pytest.mark.parametrize(
    "make",
    [lambda images: [images.at(place).made() for place in range(4)], lambda images: images.made(4)],
    ids=["one-by-one", "at-once"],
)
def test_values_are_made_again(make: Callable[[Images], list[Any]]) -> None:
    """Equal to the first ones, fields that were set included, and changing one changes no other."""
    values = messages()
    images = Images.of(values)
    made = [make(images) for _ in range(2)]
    assert made[0] == values
    assert [each.model_fields_set for each in made[0]] == [each.model_fields_set for each in values]
    for change in CHANGES[:7]:
        change(made[0])
    assert made[1] == values


@pytest.mark.parametrize("parts", [[6], [1, 5], [3, 3], [1, 1, 1, 1, 1, 1]], ids=str)
def test_the_first_ones_are_kept(parts: list[int]) -> None:
    """Whatever stands where: what follows takes the place of what was cut off, and all are told by their places."""
    values = [*messages(), "text", AIMessage("", id="5")]
    for count in range(7):
        images = taken(values, parts).followed_by(count, Images.of(["new", *messages()]))
        expected = [*values[:count], "new", *messages()]
        assert images.are_of(expected)
        assert images.made(len(expected)) == expected
        assert dict(images.each()) == dict(Images.of(expected).each())


@pytest.mark.parametrize("value", ["a", 1, True, None, 2.5, b"b", [1, {"a": (2, "x")}], {"k": ["v"]}], ids=repr)
def test_builtin_values_are_made_again(value: Any) -> None:
    """As what they are."""
    images = Images.of([value])
    assert repr(images.made(1)) == repr([value])
    assert images.unseen() == set()


@pytest.mark.parametrize(
    "value",
    [object(), [object()], AIMessage("a", additional_kwargs={"o": object()})],
    ids=["an object", "a list of one", "a message with one"],
)
def test_some_values_have_no_image(value: Any) -> None:
    """What holds objects: it never counts as unchanged."""
    images = Images.of([value, "text"])
    assert images.unseen() == {0}
    assert images.at(0) is None
    assert not images.are_of([value, "text"])


def taken(values: list[Any], parts: list[int]) -> Images:
    """The images of values, taken of so many at a time."""
    images, begin = Images(), 0
    for count in parts:
        images = images.followed_by(begin, Images.of(values[begin : begin + count]))
        begin += count
    return images

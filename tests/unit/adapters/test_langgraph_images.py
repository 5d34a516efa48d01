"""Images of values: what they tell, and what they give back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from outlive.adapters.langgraph.images import Image, Images, image


def messages() -> list[Any]:
    """Some that are flat, and some that hold more than text."""
    called = {"name": "book", "args": {"seat": 12, "window": True}, "id": "c"}
    return [
        HumanMessage("hi", id="1"),
        AIMessage("", id="2", tool_calls=[called], additional_kwargs={"deep": {"n": [1, 2.5]}}),
        AIMessage("done", id="3", response_metadata={"model": "m"}),
        HumanMessage("bye", id="4", more="extra"),
    ]


def laid_out(values: list[Any]) -> list[Image | None]:
    """Their images, ready to be compared quickly where that can be."""
    return [None if each is None else each.lay_out() for each in map(image, values)]


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


@pytest.mark.parametrize("images", [laid_out, lambda values: [image(each) for each in values]], ids=["laid-out", "new"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_told(change: Callable[[list[Any]], object], images: Callable[[list[Any]], list[Image]]) -> None:
    """Wherever it is, True for 1 too; and what wasn't changed is the same, whether or not all are flat."""
    values = messages()
    seen = Images().followed_by(0, images(values[:2])).followed_by(2, images(values[2:]))
    assert seen.are_of(values)
    change(values)
    assert not seen.are_of(values)


@pytest.mark.parametrize(
    "make",
    [
        lambda images: [each.made() for each in images],
        lambda images: Images().followed_by(0, images).made(len(images)),
    ],
    ids=["one-by-one", "at-once"],
)
def test_values_are_made_again(make: Callable[[list[Image | None]], list[Any]]) -> None:
    """Equal to the first ones, fields that were set included, and changing one changes no other."""
    values = messages()
    images = laid_out(values)
    made = [make(images) for _ in range(2)]
    assert made[0] == values
    assert [each.model_fields_set for each in made[0]] == [each.model_fields_set for each in values]
    for change in CHANGES[:7]:
        change(made[0])
    assert made[1] == values


@pytest.mark.parametrize("value", ["a", 1, True, None, 2.5, b"b", [1, {"a": (2, "x")}], {"k": ["v"]}], ids=repr)
def test_builtin_values_are_made_again(value: Any) -> None:
    """As what they are."""
    seen = image(value)
    assert seen is not None
    assert repr(seen.made()) == repr(value)


@pytest.mark.parametrize(
    "value",
    [object(), [object()], AIMessage("a", additional_kwargs={"o": object()})],
    ids=["an object", "a list of one", "a message with one"],
)
def test_some_values_have_no_image(value: Any) -> None:
    """What holds objects: it never counts as unchanged."""
    assert image(value) is None
    assert not Images().followed_by(0, [image(value)]).are_of([value])

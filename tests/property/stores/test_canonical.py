"""The text that stands for a request to a language model, for any values of JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from outlive.stores.plan.canonical import canonical

texts = st.text(max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
parameters = st.dictionaries(texts, values, max_size=5)


def respelt(value: Any, random: Random) -> Any:
    """The same value, written down in another way."""
    if isinstance(value, dict):
        items = [(key, respelt(inner, random)) for key, inner in value.items()]
        random.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        inner = [respelt(each, random) for each in value]
        return tuple(inner) if random.random() < 0.5 else inner
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value) if random.random() < 0.5 else value
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same, number by number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(inner, other[key]) for key, inner in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


@given(texts, values, parameters, st.randoms(use_true_random=False))
def test_how_a_request_is_written_down_says_nothing(
    model: str, prompt: Any, given_parameters: dict[str, Any], random: Random
) -> None:
    """Keys in another order, tuples and whole floats give the same text, and what JSON makes of it gives it again."""
    text = canonical(model, prompt, given_parameters)
    assert canonical(model, respelt(prompt, random), respelt(given_parameters, random)) == text
    assert canonical(*json.loads(text)) == text


@given(st.tuples(texts, values, parameters), st.tuples(texts, values, parameters))
def test_other_requests_have_other_texts(one: tuple[str, Any, Any], other: tuple[str, Any, Any]) -> None:
    """Two requests have the same text only if they are the same."""
    assert (canonical(*one) == canonical(*other)) == same(list(one), list(other))


@given(st.tuples(texts, values, parameters), values)
def test_a_request_differs_from_itself_with_one_value_more(request: tuple[str, Any, Any], value: Any) -> None:
    """Nothing that is added gets lost in the text, and parts don't run into each other."""
    model, prompt, given_parameters = request
    assert canonical(model, [prompt, value], given_parameters) != canonical(model, [[prompt, value]], given_parameters)
    assert canonical(model, prompt, given_parameters) != canonical(model, prompt, {**given_parameters, "\0": value})

"""Every JSON value that is accepted comes back equal."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from outlive.errors import UnstorableError
from outlive.stores.encoding import decode, encode, encode_object, spelled_out

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_what_is_accepted_comes_back(value: Any) -> None:
    """Decoding what was encoded gives the value, and encoding that again the same bytes."""
    text = encode(value, "the value")
    assert decode(text) == value
    assert encode(decode(text), "the value") == text


@given(JSON, st.sampled_from(["\0", "\ud800", "\udfff"]), st.booleans())
def test_a_hidden_bad_character_is_found(value: Any, character: str, as_key: bool) -> None:
    """However deep it lies, in a key or in a value."""
    bad = {"x" + character: value} if as_key else {"x": [value, "y" + character]}
    try:
        encode(bad, "the value")
    except UnstorableError:
        return
    raise AssertionError("it was accepted")


def of_jsonb(text: str) -> str:
    """The text as jsonb gives it back: numbers have their value, and the places of their fraction."""
    value = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    numbers: list[str] = []

    def held(inner: Any) -> Any:
        match inner:
            case Decimal():
                numbers.append(f"{inner:f}")
                return f"\0{len(numbers) - 1}\0"
            case dict():
                return {key: held(each) for key, each in inner.items()}
            case list():
                return [held(each) for each in inner]
            case _:
                return inner

    written = json.dumps(held(value), ensure_ascii=False)
    for place, number in enumerate(numbers):
        written = written.replace(f'"\\u0000{place}\\u0000"', number)
    return written


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_a_float_comes_back_from_jsonb_as_a_float(value: dict[str, Any]) -> None:
    """Large ones too, which jsonb would make integers of; nothing else becomes another text."""
    read = decode(of_jsonb(encode_object(value, "the value")))
    assert read == value
    assert kinds(read) == kinds(value)


@given(JSON)
def test_only_large_floats_are_spelled_out(value: Any) -> None:
    """A string that looks like one stays, and the value is the same."""
    text = encode([value, "1e+16", '"1e+16', {"1e+20": "\\"}], "the value")
    assert json.loads(spelled_out(text)) == json.loads(text)
    if not any(abs(each) >= 1e16 for each in floats(value)):
        assert spelled_out(text) == text


def kinds(value: Any) -> Any:
    """The same value, with the type of each number in its place."""
    match value:
        case dict():
            return {key: kinds(each) for key, each in value.items()}
        case list():
            return [kinds(each) for each in value]
        case _:
            return type(value).__name__


def floats(value: Any) -> list[float]:
    """All floats in a value."""
    match value:
        case float():
            return [value]
        case dict():
            return [each for inner in value.values() for each in floats(inner)]
        case list():
            return [each for inner in value for each in floats(inner)]
        case _:
            return []

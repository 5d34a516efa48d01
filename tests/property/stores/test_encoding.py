"""Every JSON value that is accepted comes back equal."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from outlive.errors import UnstorableError
from outlive.stores.encoding import decode, encode

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

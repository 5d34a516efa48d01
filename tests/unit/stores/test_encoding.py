"""What is stored comes back as it was, and what would not is refused before it is sent."""

from __future__ import annotations

import math

import pytest

from outlive.errors import UnstorableError
from outlive.stores.encoding import checked_name, decode, encode


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        ({"text": "a\0b"}, r"\$\.text holds a NUL"),
        ({"a\0": 1}, r"a key of \$ holds a NUL"),
        (["ok", {"deep": ["\ud800"]}], r"\$\[1\]\.deep\[0\] holds half of a surrogate pair"),
        ({1: "one"}, r"\$ has the key 1, which is not a string"),
        (math.nan, "not JSON compliant"),
        (math.inf, "not JSON compliant"),
        ({1, 2}, "type set is not JSON serializable"),
        (b"bytes", "type bytes is not JSON serializable"),
        ({"a": [1, {"b": math.nan}]}, r"\$\.a\[1\]\.b: Out of range"),
        ({"a": [1, {"b": {1}}]}, r"\$\.a\[1\]\.b: Object of type set"),
    ],
)
def test_what_would_not_come_back_is_refused_with_its_place(value: object, flaw: str) -> None:
    """The error names the value and the place inside it."""
    with pytest.raises(UnstorableError, match=f"the turn .*{flaw}"):
        encode(value, "the turn")


def test_a_value_that_contains_itself_is_refused() -> None:
    """Endless JSON is an error of the value, not a crash."""
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(UnstorableError, match="Circular"):
        encode(endless, "the turn")


def test_a_value_nested_too_deeply_is_refused() -> None:
    """A depth that no parser takes is an error of the value, not a crash."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnstorableError, match="recursion"):
        encode(deep, "the turn")


def test_the_size_limit_counts_bytes_and_names_both_sizes() -> None:
    """Characters outside ASCII count as the bytes they take; the limit itself is allowed."""
    assert encode("äö", "the turn", max_bytes=6) == '"äö"'
    with pytest.raises(UnstorableError, match="the turn has 8 bytes of JSON, the limit is 6 bytes"):
        encode("äöü", "the turn", max_bytes=6)


def test_an_escape_that_only_looks_like_a_nul_is_kept() -> None:
    """A backslash followed by u0000 is text like any other."""
    assert decode(encode("\\u0000", "the turn")) == "\\u0000"


def test_keys_keep_their_order() -> None:
    """A message comes back spelled as it was."""
    assert encode({"b": 1, "a": 2}, "the turn") == '{"b":1,"a":2}'


@pytest.mark.parametrize("name", ["", "x" * 501, "a\0", "\udcff", 7, None])
def test_a_name_that_the_database_can_t_hold_is_refused(name: object) -> None:
    """An id is a string of 1 to 500 characters."""
    with pytest.raises(UnstorableError, match="a turn's id"):
        checked_name(name, "a turn's id")

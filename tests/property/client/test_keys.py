"""Keys and what they stand for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from outlive.client.plan.keys import checked_key, decode_result, encode_result, made_at, new_key
from outlive.client.plan.requests import request_hash
from outlive.errors import ConfigurationError, UnstorableError

_MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_CHANCE = st.integers(0, 2**74 - 1)
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.uuids()
    | st.datetimes() | st.dates() | st.decimals(allow_nan=False)
)  # fmt: skip
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def request(*args: object) -> None:
    """A function to be named."""


@given(at=_MOMENTS, chance=_CHANCE)
def test_a_new_key_is_a_version_7_that_tells_its_moment(at: datetime, chance: int) -> None:
    """Its text, however it is spelled, is the same key."""
    key = new_key(at, chance)
    assert (key.version, key.variant) == (7, "specified in RFC 4122")
    assert abs(made_at(key) - at) <= timedelta(milliseconds=1)
    assert {checked_key(text) for text in (str(key), key.hex, str(key).upper())} == {checked_key(key)} == {key}


@given(at=_MOMENTS, later=st.integers(2, 10**9), chances=st.tuples(_CHANCE, _CHANCE))
def test_keys_sort_by_their_moment(at: datetime, later: int, chances: tuple[int, int]) -> None:
    """So that the keys of a day are one range."""
    assert new_key(at, chances[0]).bytes < new_key(at + timedelta(milliseconds=later), chances[1]).bytes


@given(values=st.tuples(_VALUES, _VALUES))
def test_different_arguments_are_different_requests(values: tuple[object, object]) -> None:
    """And equal ones are equal, whatever the order of a dict's keys."""
    one, other = values
    assume(repr(one) != repr(other))
    assume(_reordered(one) != _reordered(other))
    assert request_hash(request, [one]) != request_hash(request, [other])
    assert request_hash(request, [_reordered(one)]) == request_hash(request, [one])


def _reordered(value: object) -> object:
    match value:
        case dict():
            return {key: _reordered(value[key]) for key in reversed(list(value))}
        case list():
            return [_reordered(inner) for inner in value]
        case _:
            return value


def test_what_is_alike_and_not_the_same() -> None:
    """Types tell numbers apart; where an argument was bound does not matter much, that it was does."""
    hashes = [
        request_hash(request, [value]) for value in (1, 1.0, True, "1", Decimal(1), b"1", None, [1], {"int": "1"})
    ]
    assert len(set(hashes)) == len(hashes)
    assert request_hash(request, [(1, 2)]) == request_hash(request, [[1, 2]])
    assert request_hash(partial(request, 1), [2]) != request_hash(partial(request, 2), [2])


@pytest.mark.parametrize("value", [object(), iter([]), lambda: 1])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    """The argument is named."""
    with pytest.raises(ConfigurationError, match="argument 2"):
        request_hash(request, [1, value])


@given(result=_JSON)
def test_a_result_comes_back_as_json_has_it(result: object) -> None:
    """And what is written into the message is ASCII without a NUL."""
    text = encode_result(result)
    assert decode_result(text) == json.loads(json.dumps(result))
    assert text is None or (text.isascii() and "\0" not in text)


@pytest.mark.parametrize("result", [object(), float("nan"), {1, 2}, b"x", "x" * 9_000_000])
def test_a_result_that_json_can_not_hold_is_refused(result: object) -> None:
    """It is not stored as something else."""
    with pytest.raises(UnstorableError):
        encode_result(result)


@pytest.mark.parametrize("key", [None, 7, "", "a\0", "\udc00", "x" * 501, uuid4(), UUID(int=0)])
def test_a_wrong_key_is_refused(key: object) -> None:
    """A UUID of another version is not taken for one that tells the time."""
    with pytest.raises(ConfigurationError, match="key"):
        checked_key(key)

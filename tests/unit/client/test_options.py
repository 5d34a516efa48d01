"""What callers pass, checked before anything is touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from outlive.client import options
from outlive.errors import ConfigurationError
from outlive.model.durability import Durability
from outlive.model.freshness import Eventual, Strong


def test_right_names_are_understood() -> None:
    """Each name means one value."""
    assert (options.freshness("strong"), options.freshness("eventual")) == (Strong(), Eventual())
    assert options.durability("regenerable") is options.durability(Durability.REGENERABLE) is Durability.REGENERABLE
    assert (options.isolation(None), options.isolation("serializable")) == (None, "serializable")
    assert (options.degraded("refuse"), options.degraded("allow")) == (False, True)


@pytest.mark.parametrize(
    ("check", "value", "hint"),
    [
        (options.freshness, "stong", "Did you mean 'strong'?"),
        (options.freshness, "newest", "It is one of: strong, eventual."),
        (options.durability, "Critical", "Did you mean 'critical'?"),
        (options.durability, 1, "It is one of: critical, regenerable."),
        (options.isolation, "repeatable read", "Did you mean 'repeatable_read'?"),
        (options.degraded, True, "It is one of: refuse, allow."),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(check: Callable[[object], object], value: object, hint: str) -> None:
    """The error holds what was passed, its hint what could be."""
    with pytest.raises(ConfigurationError) as raised:
        check(value)
    assert repr(value) in str(raised.value)
    assert raised.value.hint == hint


@pytest.mark.parametrize("value", [0, -1, True, "5", None, float("inf"), float("nan")])
def test_a_number_has_to_be_above_zero(value: object) -> None:
    """Zero, negative, endless and typeless numbers are refused by name."""
    with pytest.raises(ConfigurationError, match="timeout can't be"):
        options.positive("timeout", value)

"""What callers pass, checked before anything is touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from outlive.client import options
from outlive.errors import ConfigurationError
from outlive.model.durability import Durability
from outlive.model.freshness import Bounded, Eventual, Session, Strong
from outlive.model.topology import Address


def test_right_names_are_understood() -> None:
    """Each name means one value."""
    names = ("strong", "session", "eventual")
    assert [options.freshness(name) for name in names] == [Strong(), Session(), Eventual()]
    assert options.freshness(options.bounded(2)) == Bounded(2)
    assert options.durability("regenerable") is options.durability(Durability.REGENERABLE) is Durability.REGENERABLE
    assert (options.isolation(None), options.isolation("serializable")) == (None, "serializable")
    assert (options.degraded("refuse"), options.degraded("allow")) == (False, True)


@pytest.mark.parametrize(
    ("check", "value", "hint"),
    [
        (options.freshness, "stong", "Did you mean 'strong'?"),
        (options.freshness, "newest", "It is one of: strong, session, eventual, outlive.bounded(seconds)."),
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


def test_only_a_strong_read_is_linearizable() -> None:
    """What a standby may answer can't be proven current."""
    assert options.freshness("strong", linearizable=True) == Strong()
    with pytest.raises(ConfigurationError, match="'session' and linearizable"):
        options.freshness("session", linearizable=True)


HOSTS = (Address("h1", 5432), Address("h2", 5432), Address("h2", 5433))


def test_regions_are_given_by_host_or_by_host_and_port() -> None:
    """A host's name stands for all its ports."""
    found = options.regions({"h1:5432": "us", "h2": "eu"}, HOSTS, "eu", known=True)
    assert found == {HOSTS[0]: "us", HOSTS[1]: "eu", HOSTS[2]: "eu"}


@pytest.mark.parametrize(
    ("given", "region", "message"),
    [
        ({"h3": "eu"}, None, "regions can't have 'h3'"),
        ({"h1": 1}, None, "regions can't have 'h1': 1"),
        ({"h1": "us"}, "eu", "no node is in region 'eu'"),
        (None, "eu", "no node is in region 'eu'"),
    ],
)
def test_a_region_that_no_node_has_is_refused(given: dict[str, str] | None, region: str | None, message: str) -> None:
    """A preference that could never be kept is a mistake, found at once."""
    with pytest.raises(ConfigurationError, match=message):
        options.regions(given, HOSTS, region, known=True)


@pytest.mark.parametrize("token", ["", "1.2", "x.1.0", "1.0.0", "1.1.0 ", 5, "1.1.-1"])
def test_a_wrong_session_token_is_refused(token: object) -> None:
    """What `token()` did not give is no session."""
    with pytest.raises(ConfigurationError, match="session can't be"):
        options.session(token)  # type: ignore[arg-type]

"""Whether a standby is in force."""

from __future__ import annotations

import pytest

from outlive.client.plan.synchronous import InForce, NotInForce, Synchronous, judge, wanted


@pytest.mark.parametrize(
    ("setting", "count", "names"),
    [
        ("", 1, ()),
        ("n2", 1, ("n2",)),
        ("n2, n3", 1, ("n2", "n3")),
        ("1 (n2,n3)", 1, ("n2", "n3")),
        ("FIRST 2 (n1, n2, n3)", 2, ("n1", "n2", "n3")),
        ("any 1 (n2)", 1, ("n2",)),
        ('ANY 1 ("node-2","n ""3""")', 1, ("node-2", 'n "3"')),
        ("*", 1, ("*",)),
        ("ANY 1 (*)", 1, ("*",)),
    ],
)
def test_the_setting_is_read_in_every_form(setting: str, count: int, names: tuple[str, ...]) -> None:
    """A plain list, FIRST and ANY, quoted names."""
    assert wanted(setting) == (count, names)


def test_a_connected_standby_of_the_list_is_in_force() -> None:
    """Names are compared without regard to case, as PostgreSQL does."""
    assert judge(Synchronous("ANY 1 (N2,n3)", ("n2",))) == InForce(("n2",), "ANY 1 (N2,n3)")


@pytest.mark.parametrize("setting", ["", " ", "*", "ANY 1 (*)", "FIRST 1 (n2, *)"])
def test_a_list_that_nobody_or_anybody_satisfies_is_not_in_force(setting: str) -> None:
    """`*` lets any replication client confirm."""
    assert isinstance(judge(Synchronous(setting, ("n2",))), NotInForce)


@pytest.mark.parametrize("connected", [(), ("backup",)])
def test_a_list_of_absent_standbys_is_not_in_force(connected: tuple[str, ...]) -> None:
    """A name alone confirms nothing."""
    assert isinstance(judge(Synchronous("ANY 1 (n2)", connected)), NotInForce)


def test_a_quorum_needs_as_many_as_it_asks_for() -> None:
    """With one of two wanted standbys connected, a commit would wait."""
    assert isinstance(judge(Synchronous("ANY 2 (n2,n3)", ("n2",))), NotInForce)
    assert isinstance(judge(Synchronous("2 (n2,n3)", ("n2", "n3"))), InForce)

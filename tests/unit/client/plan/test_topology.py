"""One picture of the cluster, made of one node's news at a time."""

from __future__ import annotations

from functools import reduce

import pytest

from outlive.client.plan.topology import NoPrimary, Observation, Primary, SplitBrain, View, merge, to_abort
from outlive.model.topology import Address, NodeSilence
from unit.client.plan.nodes import address, primary, silence, standby

News = Observation | NodeSilence


def told(*news: News) -> View:
    """The picture after this news."""
    return reduce(merge, news, View())


def writable(view: View) -> str:
    """The picture's verdict, short: a name, names, or nothing."""
    match view.writable:
        case Primary() as found:
            return found.address.host
        case SplitBrain(addresses, _):
            return "+".join(one.host for one in addresses)
        case NoPrimary():
            return ""


@pytest.mark.parametrize(
    ("news", "verdict"),
    [
        ([], ""),
        ([primary("a"), standby("b")], "a"),
        ([standby("a"), standby("b")], ""),
        ([primary("a"), silence("a")], ""),
        ([silence("a"), primary("a")], "a"),
        ([primary("a"), silence("a"), primary("b", 2)], "b"),
        ([primary("b", 2), primary("a", 1)], "b"),
        ([primary("a", 1), primary("b", 2)], "b"),
        ([primary("a", 1), primary("b", 2), silence("b")], ""),
        ([primary("a", 1), standby("b", 2)], ""),
        ([primary("a", 2), primary("b", 2)], "a+b"),
        ([primary("a", 2), primary("b", 2), standby("a", 2)], "b"),
        ([primary("a", 2), primary("b", 2), primary("c", 3)], "c"),
        ([primary("a"), primary("b", 9, cluster="theirs")], "a"),
        ([primary("a", 1), primary("a", 3)], "a"),
    ],
    ids=[
        "nothing is known",
        "one primary",
        "standbys only",
        "the primary fell silent",
        "the primary came back",
        "promotion after a death",
        "the old primary is heard after the new one",
        "the new primary is heard after the old one",
        "an old primary is no substitute for a silent new one",
        "a standby knows a newer timeline",
        "two on one timeline",
        "one of the two stepped down",
        "a third outdoes both",
        "a primary of another cluster",
        "a primary that was promoted again",
    ],
)
def test_who_takes_writes(news: list[News], verdict: str) -> None:
    """The one node out of recovery on the highest timeline ever seen, or nobody."""
    assert writable(told(*news)) == verdict


@pytest.mark.parametrize(
    ("before", "news", "aborted"),
    [
        ([primary("a"), standby("b")], silence("a"), {"a"}),
        ([primary("a"), standby("b")], silence("b"), {"b"}),
        ([primary("a"), silence("b")], silence("b"), set()),
        ([primary("a"), standby("b")], standby("a"), {"a"}),
        ([primary("a"), standby("b")], primary("b", 2), {"a"}),
        ([primary("a"), standby("b"), standby("c")], standby("c", 2), {"a"}),
        ([primary("b", 2)], primary("a", 1), {"a"}),
        ([primary("a")], primary("a"), set()),
        ([standby("a")], primary("a", 2), set()),
    ],
    ids=[
        "the primary fell silent",
        "a standby fell silent",
        "it was silent before",
        "the primary was demoted",
        "another was promoted",
        "a standby has heard of a promotion",
        "an old primary came back",
        "nothing changed",
        "promotion keeps connections",
    ],
)
def test_whose_connections_are_cut(before: list[News], news: News, aborted: set[str]) -> None:
    """Those of a node that fell silent, was demoted or is outdated, once."""
    view = told(*before)
    assert {one.host for one in to_abort(view, merge(view, news))} == aborted


def test_a_stranger_is_silent_and_named() -> None:
    """A node of another cluster never becomes part of the picture."""
    view = told(primary("a"), standby("b", cluster="theirs"))
    assert view.foreign == {address("b")}
    assert [known.facts.address for known in view.observed] == [address("a")]
    assert "another cluster" in view.silent[0].reason


def test_an_address_appears_once() -> None:
    """News of a node replaces what was known of it."""
    view = told(primary("a"), silence("a"), standby("a"), silence("a"))
    assert (view.observed, [one.address for one in view.silent]) == ((), [address("a")])


def lags(view: View) -> dict[Address, float | None]:
    """The lag of each node in the picture, in seconds."""
    return {known.facts.address: known.facts.replay_lag_s for known in view.observed}


def test_lag_is_the_age_of_the_newest_position_that_was_replayed() -> None:
    """A standby that has what the primary had at second 1 lags at most by the time since."""
    view = told(primary("a", lsn=100, at=1.0), primary("a", lsn=200, at=2.0), standby("b", lsn=150, at=2.5))
    assert lags(view)[address("b")] == 1.5


def test_lag_is_unknown_before_any_position_of_the_primary_was_replayed() -> None:
    """What can't be bounded stays unknown."""
    assert lags(told(standby("b", lsn=100)))[address("b")] is None
    assert lags(told(primary("a", lsn=100), standby("b", lsn=99)))[address("b")] is None


def test_a_later_word_of_the_primary_bounds_a_standby_heard_before() -> None:
    """The order of the answers of one round does not matter."""
    assert lags(told(standby("b", lsn=100, at=1.0), primary("a", lsn=100, at=1.1)))[address("b")] == 0.0


def test_positions_of_a_newer_timeline_say_nothing_of_a_standby_on_the_old_one() -> None:
    """The same position on another timeline is other data."""
    view = told(primary("a", 2, lsn=100, at=1.0), standby("b", 1, lsn=500, at=1.0))
    assert lags(view)[address("b")] is None


def test_why_there_is_no_primary_names_every_node() -> None:
    """The reason is fit for an error message."""
    match told(standby("a"), silence("b")).writable:
        case NoPrimary(reason):
            assert "a:5432 is a standby" in reason
            assert "b:5432 is silent: it did not answer" in reason
        case other:
            pytest.fail(f"{other} is no refusal")

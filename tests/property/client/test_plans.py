"""What the client's plans never do, whatever they are told."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from outlive.client.plan.begin import quoted
from outlive.client.plan.retry import AttemptFailure, Budget, FailureKind, GiveUp, Phase, Retry, decide
from outlive.client.plan.routing import Mark, Preference, Standby, known_until, route_read, route_write
from outlive.client.plan.topology import Observation, Primary, View, merge, to_abort
from outlive.model.deadline import Deadline
from outlive.model.freshness import Bounded, Eventual, Freshness, Session, Strong
from outlive.model.lsn import Lsn, Timeline
from outlive.model.outcome import Outcome
from outlive.model.topology import Address, NodeFacts, NodeSilence, Role

ADDRESSES = [Address(name, 5432) for name in "abcd"]
TIMES = st.floats(min_value=0, max_value=100)

facts = st.builds(
    NodeFacts,
    address=st.sampled_from(ADDRESSES),
    system_identifier=st.sampled_from(["ours", "ours", "ours", "theirs"]),
    role=st.sampled_from(Role),
    timeline=st.integers(1, 4).map(Timeline),
    lsn=st.integers(0, 50).map(Lsn),
    replay_lag_s=st.none(),
    observed_at=TIMES,
)
silences = st.builds(NodeSilence, address=st.sampled_from(ADDRESSES), reason=st.just("quiet"), observed_at=TIMES)
news = st.lists(facts.map(Observation) | silences, max_size=25)
freshness: st.SearchStrategy[Freshness] = st.sampled_from([Strong(), Eventual(), Session(), Bounded(3.0)])
marks = st.builds(
    Mark,
    lsn=st.integers(0, 50).map(Lsn),
    wrote_at=TIMES,
    read_at=TIMES,
    follows=st.none() | st.builds(Standby, st.sampled_from(ADDRESSES), st.just(0)),
)


def views(told: list[Observation | NodeSilence]) -> View:
    """The picture after this news."""
    return reduce(merge, told, View())


@given(news, freshness, TIMES, st.integers(0, 9), marks)
def test_no_route_leads_below_the_highest_timeline(
    told: list[Observation | NodeSilence], read: Freshness, now: float, turn: int, mark: Mark
) -> None:
    """Neither reads nor writes go to a node on an older timeline than any seen in this cluster."""
    view = views(told)
    timelines = {known.facts.address: known.facts.timeline for known in view.observed}
    for route in (
        route_write(view),
        route_read(view, read, now=now, preference=Preference(10.0), mark=mark, turn=turn),
    ):
        if isinstance(route, Address):
            assert timelines[route] == view.highest


@given(news)
def test_a_write_goes_to_the_only_primary_of_its_timeline(told: list[Observation | NodeSilence]) -> None:
    """Of two primaries on one timeline none is chosen."""
    view = views(told)
    if isinstance(view.writable, Primary):
        rivals = [
            known
            for known in view.observed
            if known.facts.role is Role.PRIMARY and known.facts.timeline == view.highest
        ]
        assert [rival.facts.address for rival in rivals] == [view.writable.address]


@given(news)
def test_the_highest_timeline_never_falls(told: list[Observation | NodeSilence]) -> None:
    """Whatever is heard, what was known of promotions stays known."""
    view = View()
    for one in told:
        after = merge(view, one)
        assert after.highest >= view.highest
        view = after


@given(news)
def test_a_node_that_takes_writes_is_never_cut(told: list[Observation | NodeSilence]) -> None:
    """Connections are cut only where nothing is to be written."""
    view = View()
    for one in told:
        after = merge(view, one)
        if isinstance(after.writable, Primary):
            assert after.writable.address not in to_abort(view, after)
        view = after


@given(news, TIMES)
def test_an_eventual_read_is_never_staler_than_its_bound(told: list[Observation | NodeSilence], now: float) -> None:
    """A standby that serves has replayed a position that the primary had within the bound."""
    view = views(told)
    route = route_read(view, Eventual(), now=now, preference=Preference(5.0), turn=0)
    for known in view.observed:
        if known.facts.address == route and known.facts.role is Role.STANDBY:
            replayed = [sample for sample in view.samples if sample.lsn <= known.facts.lsn]
            assert any(now - sample.at <= 5.0 + 1e-9 for sample in replayed)


@given(news, TIMES, marks)
def test_a_session_never_reads_behind_itself(told: list[Observation | NodeSilence], now: float, mark: Mark) -> None:
    """A standby that serves a session knows its writes and its token's place, and is its own or knows its reads."""
    view = views(told)
    route = route_read(view, Session(), now=now, preference=Preference(50.0), turn=0, mark=mark)
    for known in view.observed:
        if known.facts.address == route and known.facts.role is Role.STANDBY:
            assert known.facts.lsn >= mark.lsn
            assert known_until(known.facts) > mark.wrote_at
            own = mark.follows is not None and mark.follows.address == route
            assert own or known_until(known.facts) > mark.read_at


@given(news)
def test_what_is_known_until_a_moment_was_the_primarys_by_then(told: list[Observation | NodeSilence]) -> None:
    """A standby has replayed a position that its primary was seen at, at that moment or later."""
    view = views(told)
    for known in view.observed:
        if known.facts.role is Role.STANDBY and known.facts.replay_lag_s is not None:
            until = known_until(known.facts)
            assert any(sample.lsn <= known.facts.lsn and sample.at >= until - 1e-9 for sample in view.samples)


failures = st.builds(
    AttemptFailure, phase=st.sampled_from(Phase), kind=st.sampled_from(FailureKind), message=st.just("it failed")
)


@given(failures, st.integers(1, 30), st.floats(0, 1, exclude_max=True), TIMES)
def test_an_unknown_outcome_is_never_repeated_unasked(
    failure: AttemptFailure, attempt: int, chance: float, now: float
) -> None:
    """Only a caller who declared the operation idempotent gets an UNKNOWN retried."""
    budget = Budget(20, Deadline(90.0))
    verdict = decide(failure, attempt=attempt, idempotent=False, budget=budget, now=now, chance=chance)
    if failure.outcome is Outcome.UNKNOWN:
        assert isinstance(verdict, GiveUp)


@given(failures, st.booleans(), st.integers(1, 40), st.floats(0, 1, exclude_max=True), TIMES)
def test_a_retry_stays_within_its_budget(
    failure: AttemptFailure, idempotent: bool, attempt: int, chance: float, now: float
) -> None:
    """No attempt beyond the count, and none that begins after the deadline."""
    budget = Budget(20, Deadline(90.0))
    verdict = decide(failure, attempt=attempt, idempotent=idempotent, budget=budget, now=now, chance=chance)
    if isinstance(verdict, Retry):
        assert attempt < 20
        assert now + verdict.after_s < 90.0
        assert 0.0 <= verdict.after_s <= 1.0


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_quoted_text_ends_where_it_should(text: str) -> None:
    """Between its ends a constant holds no quote that is not doubled."""
    inner = quoted(text).removeprefix("E")[1:-1]
    assert inner.replace("''", "").count("'") == 0

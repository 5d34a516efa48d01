"""The invariant of the supervisor's reactions, and that they always come to an end."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from outlive.cluster.plan.reactions import (
    Absent,
    Act,
    Alive,
    Dead,
    Desired,
    EndLeftovers,
    ProcessFacts,
    RevokeLease,
    StartArchiver,
    StartEtcd,
    StartPatroni,
    StopArchiver,
    WakePatroni,
    react,
)

NOW = 100.0
PIDS = st.integers(min_value=2, max_value=2**22)
LIVENESS = st.one_of(
    st.builds(Alive, PIDS, st.booleans()),
    st.builds(Dead, st.floats(0, NOW), st.integers(1, 16)),
    st.just(Absent()),
)
FACTS = st.builds(
    ProcessFacts,
    now=st.just(NOW),
    desired=st.sampled_from(Desired),
    etcd=LIVENESS,
    patroni=LIVENESS,
    postmaster=LIVENESS,
    etcd_ready=st.booleans(),
    leftovers=st.lists(PIDS, max_size=3).map(tuple),
    witness=st.booleans(),
    all_own=st.booleans(),
    crash_told=st.booleans(),
    lease_settled=st.booleans(),
    archiver=LIVENESS,
    archiving=st.booleans(),
    archiver_outdated=st.booleans(),
)


@given(FACTS)
def test_the_lease_is_given_up_only_over_dead_processes(facts: ProcessFacts) -> None:
    """No lease is revoked while a process of the node lives, or one may live that the supervisor never saw."""
    if RevokeLease() in react(facts):
        assert isinstance(facts.patroni, Dead)
        assert not isinstance(facts.postmaster, Alive)
        assert facts.leftovers == ()
        assert facts.all_own
        assert not facts.lease_settled
        assert facts.desired is Desired.RUNNING


@given(FACTS)
def test_a_living_postmaster_is_never_signalled_or_doubled(facts: ProcessFacts) -> None:
    """While PostgreSQL runs nothing of it is ended, and Patroni is never started beside a living Patroni."""
    acts = react(facts)
    if isinstance(facts.postmaster, Alive):
        assert not any(isinstance(act, EndLeftovers) for act in acts)
    if isinstance(facts.patroni, Alive):
        assert not any(isinstance(act, StartPatroni) for act in acts)


@given(FACTS.map(lambda facts: replace(facts, desired=Desired.RUNNING, etcd_ready=True, witness=False)))
def test_reactions_bring_the_node_back(facts: ProcessFacts) -> None:
    """Whatever has died, a few reactions later etcd and Patroni run and nothing more is to be done."""
    for _ in range(8):
        acts = react(facts)
        facts = replace(facts, now=facts.now + 11.0)
        for act in acts:
            facts = _apply(facts, act)
    assert isinstance(facts.etcd, Alive)
    assert isinstance(facts.patroni, Alive)
    assert isinstance(facts.archiver, Alive) == facts.archiving
    assert react(facts) == ()


@given(FACTS)
def test_the_archiver_is_none_of_the_databases_business(facts: ProcessFacts) -> None:
    """Whatever the archiver does, etcd, Patroni and PostgreSQL are treated as if there were none."""
    without = react(replace(facts, archiver=Absent(), archiving=False))
    assert tuple(act for act in react(facts) if not isinstance(act, StartArchiver | StopArchiver)) == without


def _apply(facts: ProcessFacts, act: Act) -> ProcessFacts:
    match act:
        case StartEtcd():
            return replace(facts, etcd=Alive(10))
        case StartPatroni():
            return replace(facts, patroni=Alive(11), lease_settled=False)
        case WakePatroni():
            return replace(facts, crash_told=True)
        case RevokeLease():
            return replace(facts, lease_settled=True)
        case EndLeftovers(pids):
            return replace(facts, leftovers=tuple(pid for pid in facts.leftovers if pid not in pids))
        case StartArchiver():
            return replace(facts, archiver=Alive(12), archiver_outdated=False)
        case StopArchiver():
            return replace(facts, archiver=Absent(), archiver_outdated=False)

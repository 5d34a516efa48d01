"""Whether the cluster is whole, and critical writes are safe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outlive.cluster.plan.health import (
    ClusterFacts,
    NodeReport,
    Replication,
    Safe,
    Unsafe,
    critical_writes,
    lacks_only_names,
    missing,
    replay_lag_bytes,
    stage,
)
from outlive.model.lsn import Timeline


def standby(name: str, *, replayed: int | None = 900) -> NodeReport:
    """A standby that follows."""
    return NodeReport(
        name=name,
        supervisor_pid=1,
        etcd_healthy=True,
        patroni_answers=True,
        role="replica",
        state="running",
        replication_state="streaming",
        timeline=Timeline(2),
        replayed_location=replayed,
        may_lead=True,
    )


PRIMARY = NodeReport(
    name="n1",
    supervisor_pid=1,
    etcd_healthy=True,
    patroni_answers=True,
    role="primary",
    state="running",
    timeline=Timeline(2),
    location=1000,
    replication=(Replication("n3", "streaming", "quorum"), Replication("n2", "streaming", "quorum")),
)
WHOLE = ClusterFacts(nodes=(PRIMARY, standby("n2"), standby("n3")), synchronous_standby_names="ANY 1 (n2,n3)")


def with_replication(*rows: Replication) -> ClusterFacts:
    """The whole cluster, but for what the primary says of its standbys."""
    return replace(WHOLE, nodes=(replace(PRIMARY, replication=rows), *WHOLE.nodes[1:]))


def test_a_whole_cluster_lacks_nothing() -> None:
    """Three healthy nodes are whole and safe, and name the standbys."""
    assert missing(WHOLE) == ()
    assert critical_writes(WHOLE) == Safe(("n2", "n3"))


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(replace(WHOLE, synchronous_standby_names="*"), id="any replication client may acknowledge"),
        pytest.param(replace(WHOLE, synchronous_standby_names="ANY 1 (*)"), id="the same in quorum's words"),
        pytest.param(replace(WHOLE, synchronous_standby_names=""), id="nobody is waited for"),
        pytest.param(with_replication(), id="no standby is connected"),
        pytest.param(with_replication(Replication("n2", "streaming", "async")), id="only asynchronous ones"),
        pytest.param(with_replication(Replication("n2", "catchup", "quorum")), id="one that still catches up"),
        pytest.param(with_replication(Replication("pg_receivewal", "streaming", "sync")), id="a stranger"),
        pytest.param(replace(WHOLE, nodes=WHOLE.nodes[1:]), id="no primary"),
        pytest.param(ClusterFacts(nodes=(PRIMARY,)), id="a lone node"),
    ],
)
def test_critical_writes_are_unsafe(facts: ClusterFacts) -> None:
    """Without a synchronous standby that is a node of the cluster, critical writes are not called safe."""
    verdict = critical_writes(facts)
    assert isinstance(verdict, Unsafe)
    assert verdict.next_command.startswith("outlive ")


def test_the_primary_on_the_highest_timeline_counts() -> None:
    """An old primary that still answers does not hide the new one."""
    zombie = replace(PRIMARY, name="n2", timeline=Timeline(1), replication=())
    assert replace(WHOLE, nodes=(zombie, PRIMARY, standby("n3"))).primary == PRIMARY


def test_missing_names_what_is_missing() -> None:
    """A standby on an old timeline and an etcd member that is silent are named."""
    stale = replace(standby("n2"), timeline=Timeline(1), etcd_healthy=False)
    assert missing(replace(WHOLE, nodes=(PRIMARY, stale, standby("n3")))) == ("etcd of n2", "standby n2")


def test_a_standby_that_patroni_has_not_written_down_is_not_enough() -> None:
    """Until a standby is in etcd as synchronous a failover would not choose it, so the cluster is not whole."""
    unnamed = tuple(replace(node, may_lead=False) for node in WHOLE.nodes)
    assert missing(replace(WHOLE, nodes=unnamed)) == (
        "n2 as a synchronous standby",
        "n3 as a synchronous standby",
    )


def test_what_is_left_to_patroni_alone_is_told_apart() -> None:
    """Only when every standby streams does it help to wake Patroni."""
    unnamed = tuple(replace(node, may_lead=False) for node in WHOLE.nodes)
    assert lacks_only_names(missing(replace(WHOLE, nodes=unnamed)))
    assert not lacks_only_names(missing(replace(WHOLE, nodes=unnamed[:1])))
    assert not lacks_only_names(missing(replace(WHOLE, nodes=(PRIMARY, replace(unnamed[1], state="starting")))))
    assert not lacks_only_names(())


def test_progress_names_the_first_thing_that_is_waited_for() -> None:
    """A starting cluster is told stage by stage: supervisors, etcd, primary, standbys, their names."""
    lacking = ("etcd of n1", "etcd of n2", "a primary")
    assert stage(lacking) == "etcd of n1, etcd of n2"
    assert stage(lacking[2:]) == "a primary"
    assert stage(("n2 as a synchronous standby",)) == "n2 as a synchronous standby"
    assert stage(()) == ""


def test_unknown_lag_is_unknown() -> None:
    """A lag is a number of bytes, or None where the standby or the primary doesn't tell."""
    assert replay_lag_bytes(WHOLE, WHOLE.nodes[1]) == 100
    assert replay_lag_bytes(WHOLE, standby("n2", replayed=None)) is None
    assert replay_lag_bytes(replace(WHOLE, nodes=WHOLE.nodes[1:]), WHOLE.nodes[1]) is None

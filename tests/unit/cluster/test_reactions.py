"""What the supervisor does next, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outlive.cluster.plan.reactions import (
    BACKOFF_LIMIT_S,
    KILL_LEFTOVERS_AFTER_S,
    QUIT_LEFTOVERS_AFTER_S,
    SETTLE_S,
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
    backoff_s,
    react,
)

NOW = 1000.0
HEALTHY = ProcessFacts(now=NOW, desired=Desired.RUNNING, etcd=Alive(1), patroni=Alive(2), postmaster=Alive(3))
JUST_NOW = Dead(NOW)
SETTLED = Dead(NOW - 2 * SETTLE_S)
ALONE = StartPatroni("Patroni's death alone")
ALL_DEAD = StartPatroni("the death of every process of the node")


@pytest.mark.parametrize(
    ("facts", "acts"),
    [
        pytest.param(HEALTHY, (), id="healthy: nothing"),
        pytest.param(replace(HEALTHY, etcd=JUST_NOW), (StartEtcd(),), id="etcd died: start it"),
        pytest.param(replace(HEALTHY, patroni=JUST_NOW), (), id="Patroni died this instant: see what else dies"),
        pytest.param(replace(HEALTHY, patroni=SETTLED), (ALONE,), id="Patroni died alone: start it"),
        pytest.param(replace(HEALTHY, postmaster=JUST_NOW), (WakePatroni(),), id="postmaster died: wake Patroni"),
        pytest.param(replace(HEALTHY, postmaster=JUST_NOW, crash_told=True), (), id="told once is told"),
        pytest.param(
            replace(HEALTHY, patroni=JUST_NOW, postmaster=JUST_NOW), (RevokeLease(),), id="all dead: give up the lead"
        ),
        pytest.param(
            replace(HEALTHY, patroni=JUST_NOW, postmaster=JUST_NOW, leftovers=(9,)), (), id="a backend lives: wait"
        ),
        pytest.param(
            replace(HEALTHY, patroni=Dead(NOW - QUIT_LEFTOVERS_AFTER_S), postmaster=JUST_NOW, leftovers=(9,)),
            (EndLeftovers((9,), kill=False),),
            id="a backend lives on: ask it to quit",
        ),
        pytest.param(
            replace(HEALTHY, patroni=Dead(NOW - KILL_LEFTOVERS_AFTER_S), postmaster=JUST_NOW, leftovers=(9,)),
            (EndLeftovers((9,), kill=True),),
            id="a backend does not quit: kill it",
        ),
        pytest.param(
            replace(HEALTHY, patroni=JUST_NOW, postmaster=JUST_NOW, all_own=False),
            (ALL_DEAD,),
            id="all dead, but not all seen from their start: leave the lease alone",
        ),
        pytest.param(
            replace(HEALTHY, patroni=JUST_NOW, postmaster=JUST_NOW, lease_settled=True),
            (ALL_DEAD,),
            id="the lease is settled: start Patroni",
        ),
        pytest.param(
            replace(HEALTHY, etcd=Absent(), patroni=Absent(), postmaster=Absent(), etcd_ready=False),
            (StartEtcd(),),
            id="first start: etcd before Patroni",
        ),
        pytest.param(
            replace(HEALTHY, patroni=Absent(), postmaster=Absent()),
            (StartPatroni("the supervisor's start"),),
            id="etcd answers: Patroni's turn",
        ),
        pytest.param(
            replace(HEALTHY, patroni=Absent(), postmaster=Absent(), witness=True), (), id="a witness has no Patroni"
        ),
        pytest.param(
            replace(HEALTHY, desired=Desired.DRAINED, etcd=JUST_NOW, patroni=Absent(), postmaster=Absent()),
            (StartEtcd(),),
            id="drained: only the vote is kept",
        ),
        pytest.param(
            replace(HEALTHY, desired=Desired.STOPPED, etcd=JUST_NOW, patroni=JUST_NOW), (), id="stopping: nothing"
        ),
        pytest.param(
            replace(HEALTHY, patroni=Dead(NOW - 1.0, deaths=9)), (), id="Patroni dies again and again: back off"
        ),
        pytest.param(replace(HEALTHY, archiving=True), (StartArchiver(),), id="WAL is to be archived: start it"),
        pytest.param(
            replace(HEALTHY, archiving=True, archiver=Alive(4), archiver_outdated=True),
            (StopArchiver(),),
            id="to another place: end the archiver first",
        ),
        pytest.param(replace(HEALTHY, archiver=Alive(4)), (StopArchiver(),), id="no longer archived: end it"),
        pytest.param(
            replace(HEALTHY, desired=Desired.DRAINED, archiving=True, archiver=Dead(NOW)),
            (StartArchiver(),),
            id="drained: the last WAL is still to be archived",
        ),
    ],
)
def test_reaction(facts: ProcessFacts, acts: tuple[Act, ...]) -> None:
    """Each state of the node's processes has the reaction that the theory of operation names."""
    assert react(facts) == acts


def test_backoff_starts_at_once_and_is_bounded() -> None:
    """The first death is not waited for, and no number of deaths waits longer than the limit."""
    waits = [backoff_s(deaths) for deaths in range(1, 2000)]
    assert waits[0] == 0.0
    assert waits == sorted(waits)
    assert waits[-1] == BACKOFF_LIMIT_S

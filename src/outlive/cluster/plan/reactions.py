"""What a node's supervisor does next, from what it knows of its processes.

Theory of operation. A node runs an etcd member, Patroni, and the PostgreSQL that Patroni starts. Patroni decides
about roles and promotions; the supervisor only makes its view of *processes* faster than a lease of 20 seconds:

    Patroni dead, postmaster alive      start Patroni again; PostgreSQL never stopped, there is no failover
    postmaster dead, Patroni alive      wake Patroni's loop; it fails over by itself
    both dead, every local pid dead     revoke the leader's lease, then start Patroni again
    both dead, some process left        end what is left first: a backend without postmaster serves nobody

Where WAL is archived, an archiver runs beside PostgreSQL whatever becomes of that, and is started again like etcd.

Invariant: RevokeLease is decided only while no process of this node, apart from etcd and the archiver, is alive (the
archiver reads WAL and can write to no database), and only when all of them were started under this supervisor, so
that it can have seen every one of them. Whoever else could write through the old primary would have to be one of
those processes. Anything less than that waits for the lease.

Source: Patroni documentation, "DCS failsafe mode" and "Watchdog support", for why nothing short of the old primary's
death may shorten the lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SETTLE_S = 0.05
"""How long a lone death waits for a second one: a killed node's processes die a few milliseconds apart."""
QUIT_LEFTOVERS_AFTER_S = 0.2
KILL_LEFTOVERS_AFTER_S = 0.7
BACKOFF_FIRST_S = 0.25
BACKOFF_LIMIT_S = 10.0


class Desired(Enum):
    """What the supervisor was told to keep its node at."""

    RUNNING = "running"
    DRAINED = "drained"
    """etcd only: PostgreSQL and Patroni stopped, the vote kept."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Alive:
    """A process that runs; `own` means started under this supervisor, so that it inherits every child of it."""

    pid: int
    own: bool = True


@dataclass(frozen=True, slots=True)
class Dead:
    """A process that was seen to end at `since` (monotonic seconds); `deaths` counts recent ones."""

    since: float
    deaths: int = 1


@dataclass(frozen=True, slots=True)
class Absent:
    """A process that this supervisor has not seen yet, or that ended as it was told to."""


Liveness = Alive | Dead | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """All that the supervisor knows at the moment `now` (monotonic seconds).

    `etcd_ready` says that a quorum has answered once: a Patroni that starts before sleeps five seconds at a time.
    `leftovers` are living local processes that are none of these. `crash_told` says that Patroni was woken for this
    death of the postmaster, `lease_settled` that the lease was looked at for this death of Patroni; `all_own` that no
    process of this node was started before this supervisor. `archiving` says that WAL is to be archived,
    `archiver_outdated` that the living archiver was told something else than what is wanted now.
    """

    now: float
    desired: Desired
    etcd: Liveness
    patroni: Liveness
    postmaster: Liveness
    etcd_ready: bool = True
    leftovers: tuple[int, ...] = ()
    witness: bool = False
    all_own: bool = True
    crash_told: bool = False
    lease_settled: bool = False
    archiver: Liveness = Absent()
    archiving: bool = False
    archiver_outdated: bool = False


@dataclass(frozen=True, slots=True)
class StartEtcd:
    """Start the etcd member."""


@dataclass(frozen=True, slots=True)
class StartPatroni:
    """Start Patroni; `after` says what it follows."""

    after: str


@dataclass(frozen=True, slots=True)
class WakePatroni:
    """Tell Patroni to look now instead of after loop_wait."""


@dataclass(frozen=True, slots=True)
class RevokeLease:
    """Every process of the node is dead: compare the leader key with this node and revoke its lease."""


@dataclass(frozen=True, slots=True)
class EndLeftovers:
    """Signal processes that have lost their postmaster; `kill` with SIGKILL, else SIGQUIT."""

    pids: tuple[int, ...]
    kill: bool


@dataclass(frozen=True, slots=True)
class StartArchiver:
    """Start the archiver."""


@dataclass(frozen=True, slots=True)
class StopArchiver:
    """End the archiver: nothing is archived any more, or to another place."""


Act = StartEtcd | StartPatroni | WakePatroni | RevokeLease | EndLeftovers | StartArchiver | StopArchiver


def react(facts: ProcessFacts) -> tuple[Act, ...]:
    """The acts due at `facts.now`, in order. Empty: nothing to do yet."""
    acts: list[Act] = []
    if facts.desired is not Desired.STOPPED and _due(facts.etcd, facts.now):
        acts.append(StartEtcd())
    acts.extend(_react_to_archiver(facts))
    if facts.desired is Desired.RUNNING and not facts.witness:
        acts.extend(_react_to_patroni(facts))
    return tuple(acts)


def _react_to_archiver(facts: ProcessFacts) -> tuple[Act, ...]:
    wanted = facts.archiving and not facts.witness and facts.desired is not Desired.STOPPED
    if isinstance(facts.archiver, Alive):
        return (StopArchiver(),) if facts.archiver_outdated or not facts.archiving else ()
    return (StartArchiver(),) if wanted and _due(facts.archiver, facts.now) else ()


def backoff_s(deaths: int) -> float:
    """Seconds to wait before the start that follows `deaths` recent deaths; the first one is not waited for."""
    if deaths <= 1:
        return 0.0
    doublings = min(deaths - 2, 10)  # bounded before it is raised
    return min(BACKOFF_FIRST_S * 2.0**doublings, BACKOFF_LIMIT_S)


def _due(process: Liveness, now: float) -> bool:
    match process:
        case Alive():
            return False
        case Absent():
            return True
        case Dead(since=since, deaths=deaths):
            return now - since >= backoff_s(deaths)


def _react_to_patroni(facts: ProcessFacts) -> tuple[Act, ...]:
    match facts.patroni:
        case Alive():
            crashed = isinstance(facts.postmaster, Dead) and not facts.crash_told
            return (WakePatroni(),) if crashed else ()
        case Absent():
            return (StartPatroni("the supervisor's start"),) if facts.etcd_ready else ()
        case Dead() as patroni:
            return _react_to_dead_patroni(facts, patroni)


def _react_to_dead_patroni(facts: ProcessFacts, patroni: Dead) -> tuple[Act, ...]:
    dead_for_s = facts.now - patroni.since
    if isinstance(facts.postmaster, Alive):
        due = dead_for_s >= SETTLE_S and _due(patroni, facts.now)
        return (StartPatroni("Patroni's death alone"),) if due else ()
    if facts.leftovers:
        return _end_leftovers(facts, dead_for_s)
    if facts.all_own and not facts.lease_settled:
        return (RevokeLease(),)
    return (StartPatroni("the death of every process of the node"),) if _due(patroni, facts.now) else ()


def _end_leftovers(facts: ProcessFacts, dead_for_s: float) -> tuple[Act, ...]:
    if dead_for_s >= KILL_LEFTOVERS_AFTER_S:
        return (EndLeftovers(facts.leftovers, kill=True),)
    if dead_for_s >= QUIT_LEFTOVERS_AFTER_S:
        return (EndLeftovers(facts.leftovers, kill=False),)
    return ()

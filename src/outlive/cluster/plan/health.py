"""What the nodes' own words add up to: who is primary, who follows, and whether critical writes are safe now.

A critical write is safe while its commit waits for a standby that is one of the cluster's nodes. Patroni names the
standbys in `synchronous_standby_names`; where none is eligible in strict mode it names `*`, and then any replication
client could acknowledge, so `*` counts as none.
"""

from __future__ import annotations

from dataclasses import dataclass

from outlive.model.lsn import Timeline

AS_SYNCHRONOUS = " as a synchronous standby"
_PRIMARY_ROLES = frozenset({"primary", "master"})


@dataclass(frozen=True, slots=True)
class Replication:
    """A row of the primary's pg_stat_replication."""

    name: str
    state: str
    sync_state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """What one node says of itself; WAL locations are byte positions.

    `may_lead` is set on a standby that Patroni has written down in etcd as synchronous: only then would it be promoted.
    """

    name: str
    witness: bool = False
    region: str | None = None
    postgres_port: int | None = None
    supervisor_pid: int | None = None
    etcd_healthy: bool = False
    patroni_answers: bool = False
    role: str | None = None
    state: str | None = None
    replication_state: str | None = None
    timeline: Timeline | None = None
    location: int | None = None
    received_location: int | None = None
    replayed_location: int | None = None
    replication: tuple[Replication, ...] = ()
    paused: bool = False
    may_lead: bool = False

    @property
    def is_primary(self) -> bool:
        """Whether it is a running primary."""
        return self.role in _PRIMARY_ROLES and self.state == "running"

    @property
    def is_streaming(self) -> bool:
        """Whether it is a standby that follows its primary."""
        return (
            self.role == "replica"
            and self.state in ("running", "streaming")
            and self.replication_state
            in (
                "streaming",
                None,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """All nodes' reports; `synchronous_standby_names` as the primary has it, None where it could not be read."""

    nodes: tuple[NodeReport, ...]
    synchronous_standby_names: str | None = None

    @property
    def primary(self) -> NodeReport | None:
        """The primary on the highest timeline, if one runs."""
        primaries = [node for node in self.nodes if node.is_primary]
        return max(primaries, key=lambda node: node.timeline or 0, default=None)

    @property
    def data_nodes(self) -> tuple[NodeReport, ...]:
        """The nodes that hold data."""
        return tuple(node for node in self.nodes if not node.witness)


@dataclass(frozen=True, slots=True)
class Safe:
    """An acknowledged critical write is on the primary and on at least one of these standbys."""

    standbys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unsafe:
    """Critical writes are refused or wait, and what to type next."""

    reason: str
    next_command: str


def critical_writes(facts: ClusterFacts) -> Safe | Unsafe:
    """Whether critical writes are safe right now."""
    primary = facts.primary
    stopped = [node.name for node in facts.nodes if node.supervisor_pid is None]
    if primary is None:
        if len(stopped) == len(facts.nodes):
            return Unsafe("the cluster is down", "outlive up")
        return Unsafe("there is no primary", "outlive up" if stopped else "outlive logs")
    if len(facts.data_nodes) == 1:
        return Unsafe("the cluster has one data node, hence no standby", "outlive up --nodes 3 --dir ANOTHER")
    names = facts.synchronous_standby_names
    if names is not None and (not names or "*" in names):
        return Unsafe("no standby is in force", "outlive up" if stopped else "outlive logs")
    standbys = _synchronous(facts, primary)
    if not standbys:
        return Unsafe("no synchronous standby streams", "outlive up" if stopped else "outlive logs")
    return Safe(standbys)


def missing(facts: ClusterFacts) -> tuple[str, ...]:
    """What keeps the cluster from being whole, a phrase each; empty when every node is as it should be."""
    lacks = [f"the supervisor of {node.name}" for node in facts.nodes if node.supervisor_pid is None]
    lacks += [f"etcd of {node.name}" for node in facts.nodes if not node.etcd_healthy]
    primary = facts.primary
    if primary is None:
        return (*lacks, "a primary")
    standbys = [node for node in facts.data_nodes if node is not primary]
    lacks += [
        f"standby {node.name}" for node in standbys if not (node.is_streaming and node.timeline == primary.timeline)
    ]
    # A primary promoted while one of them is not yet written down would wait for the dead one first.
    synchronous = _synchronous(facts, primary)
    lacks += [f"{node.name}{AS_SYNCHRONOUS}" for node in standbys if not (node.may_lead and node.name in synchronous)]
    return tuple(lacks)


def lacks_only_names(lacking: tuple[str, ...]) -> bool:
    """Whether all standbys stream and Patroni has only to write down that they are synchronous."""
    return bool(lacking) and all(lack.endswith(AS_SYNCHRONOUS) for lack in lacking)


def stage(lacking: tuple[str, ...]) -> str:
    """What a starting cluster waits for first, in a few words: later things can't come before it."""
    for word in ("the supervisor", "etcd", "a primary", "standby"):
        waited = [lack for lack in lacking if lack.startswith(word)]
        if waited:
            return ", ".join(waited)
    return ", ".join(lacking)


def replay_lag_bytes(facts: ClusterFacts, node: NodeReport) -> int | None:
    """How many bytes of the primary's WAL this standby has not replayed; None where it is unknown."""
    return _behind(facts, node.replayed_location)


def receive_lag_bytes(facts: ClusterFacts, node: NodeReport) -> int | None:
    """How many bytes of the primary's WAL this standby has not received; None where it is unknown."""
    return _behind(facts, node.received_location)


def _behind(facts: ClusterFacts, location: int | None) -> int | None:
    primary = facts.primary
    if primary is None or primary.location is None or location is None:
        return None
    return max(0, primary.location - location)


def _synchronous(facts: ClusterFacts, primary: NodeReport) -> tuple[str, ...]:
    nodes = {node.name for node in facts.data_nodes}
    rows = sorted(primary.replication, key=lambda row: row.name)
    return tuple(
        row.name
        for row in rows
        if row.name in nodes and row.state == "streaming" and row.sync_state in ("sync", "quorum")
    )

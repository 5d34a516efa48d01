"""One frozen picture of the cluster, as its nodes told it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from outlive.model.lsn import Lsn, Timeline


class Role(Enum):
    """What a node is to PostgreSQL: it writes, or it replays."""

    PRIMARY = "primary"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a node's PostgreSQL listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What one probe learned of one node.

    `lsn` is the insert position of a primary, the replayed position of a standby. `replay_lag_s` and
    `replay_lag_bytes` are None where they are unknown, which every decision counts as too much.
    `observed_at` is on the monotonic clock, in seconds.
    """

    address: Address
    system_identifier: str
    role: Role
    timeline: Timeline
    lsn: Lsn
    replay_lag_s: float | None
    observed_at: float
    replay_lag_bytes: int | None = None
    name: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class NodeSilence:
    """A probe that brought nothing, and why."""

    address: Address
    reason: str
    observed_at: float


@dataclass(frozen=True, slots=True)
class Topology:
    """All that is known of the cluster's nodes; an address appears once, in `nodes` or in `silent`."""

    nodes: tuple[NodeFacts, ...] = ()
    silent: tuple[NodeSilence, ...] = ()

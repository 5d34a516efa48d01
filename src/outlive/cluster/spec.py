"""What a cluster is made of: a small typed value from which every file of every node is rendered.

Kept as `cluster.json` in the cluster's directory. Holds no secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated

import msgspec

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
NodeName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,30}$")]


class Profile(Enum):
    """Timings and sizes: `production` for real hosts, `fast` for one machine."""

    PRODUCTION = "production"
    FAST = "fast"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where a node listens. A witness has neither PostgreSQL nor Patroni, hence no port for them."""

    etcd_client: Port
    etcd_peer: Port
    postgres: Port | None = None
    rest: Port | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """Patroni's tags of a node. Source: Patroni documentation, "tags"."""

    nofailover: bool = False
    noloadbalance: bool = False
    clonefrom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One node. `host` may hold `${NAME}`, filled in from the environment of the real host."""

    name: NodeName
    ports: Ports
    host: str = "127.0.0.1"
    witness: bool = False
    region: str | None = None
    tags: Tags = field(default_factory=Tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSpec:
    """Where every node's archiver brings the WAL. The files are copies in the cluster's directory, absolute paths.

    `objective_s`: the seconds of commits that the loss of every node may take.
    """

    url: str
    options_file: str | None = None
    key_file: str | None = None
    objective_s: Annotated[float, msgspec.Meta(ge=1.0, le=3600.0)] = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """All nodes under one Patroni scope. `postgres_bin` and `etcd_bin` are directories of programs."""

    scope: str
    nodes: tuple[NodeSpec, ...]
    postgres_bin: str
    postgres_major: int
    etcd_bin: str
    namespace: str = "/outlive/"
    profile: Profile = Profile.FAST
    database: str = "agents"
    app_user: str = "app"
    archive: ArchiveSpec | None = None

    @property
    def data_nodes(self) -> tuple[NodeSpec, ...]:
        """The nodes that hold data, in order of their names' appearance."""
        return tuple(node for node in self.nodes if not node.witness)

    def node(self, name: str) -> NodeSpec:
        """The node of that name.

        Raises:
            KeyError: there is none.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The passwords of a cluster, generated when it is made. Never printed: the repr says nothing."""

    superuser: str
    replication: str
    rewind: str
    app: str
    rest: str

    def __repr__(self) -> str:
        return "Secrets(...)"

"""Which server a backup is taken from. Pure.

A standby where there is one that is fresh enough, so that the primary has nothing to do with it; else the primary,
and the reason is told. Asked for by name, the other one is never taken instead: then it is a refusal. A server of
another timeline than the primary's is none: it has not followed a failover yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from outlive.model.lsn import Lsn, Timeline
from outlive.model.topology import Address, Role

LAG_LIMIT_BYTES = 256 * 1024 * 1024


class Wanted(Enum):
    """Where a backup is to come from."""

    STANDBY = "standby"
    PRIMARY = "primary"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What one server says of itself. `lsn` is how far a primary has written, or a standby replayed.

    `version` is as in `server_version_num`; `tablespaces` are those beside PostgreSQL's own two.
    """

    address: Address
    role: Role
    system_identifier: str
    timeline: Timeline
    lsn: Lsn
    version: int
    version_text: str
    segment_bytes: int
    tablespaces: tuple[str, ...] = ()
    summarizes_wal: bool = False
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """The server to take it from; `note` says why it is not a standby where none was asked for."""

    server: ServerFacts
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why none will do, and what to do."""

    reason: str
    hint: str


def choose(
    servers: Iterable[ServerFacts], wanted: Wanted | None, lag_limit_bytes: int = LAG_LIMIT_BYTES
) -> Chosen | Refusal:
    """The server that the backup is taken from."""
    found = tuple(servers)
    if len({server.system_identifier for server in found}) > 1:
        return Refusal("the hosts belong to different clusters", "Name the hosts of one cluster.")
    primary = next((server for server in found if server.role is Role.PRIMARY), None)
    if wanted is Wanted.PRIMARY:
        return Chosen(primary) if primary else Refusal("there is no primary now", "`outlive status` shows the nodes.")
    standbys = [server for server in found if server.role is Role.STANDBY and _fit(server, primary, lag_limit_bytes)]
    if standbys:
        return Chosen(max(standbys, key=lambda server: (server.lsn, str(server.address))))
    if wanted is Wanted.STANDBY or primary is None:
        return Refusal(
            f"no standby is within {lag_limit_bytes // 1024**2} MiB of the primary, on its timeline",
            "Wait until one has caught up (`outlive status`), or take it with --from primary.",
        )
    return Chosen(primary, "taken from the primary: no standby is fresh enough")


def _fit(server: ServerFacts, primary: ServerFacts | None, lag_limit_bytes: int) -> bool:
    if primary is None:
        return True
    return server.timeline == primary.timeline and primary.lsn - server.lsn <= lag_limit_bytes

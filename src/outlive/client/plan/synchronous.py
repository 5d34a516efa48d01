"""Whether a standby is in force that must confirm each critical commit.

`synchronous_standby_names` decides it together with the standbys that are connected. A list of `*` is no
standby in force: any replication client would match it, a backup's receiver included, and Patroni sets
`ANY 1 (*)` when none is eligible.

Source: PostgreSQL documentation, `synchronous_standby_names`; Patroni documentation, "Replication modes".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r'"((?:[^"]|"")+)"|([^\s,()"]+)')
_COUNT = re.compile(r"\s*(?:(?:FIRST|ANY)\s+)?(\d+)\s*\((.*)\)\s*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Synchronous:
    """What the primary says of its synchronous replication.

    `connected` names the standbys that it replicates to and that count as synchronous to it; where the role may
    not see which do, all that it replicates to. `literal` tells whether `names` is the setting as it stands, or was
    made of what somebody else said of it.
    """

    names: str
    connected: tuple[str, ...]
    literal: bool = True


@dataclass(frozen=True, slots=True)
class InForce:
    """Each commit waits for one of these standbys at least. `names` is the setting that says so, where it is known."""

    standbys: tuple[str, ...]
    names: str | None


@dataclass(frozen=True, slots=True)
class NotInForce:
    """No standby has to confirm a commit, or none that could is connected."""

    reason: str


def judge(synchronous: Synchronous) -> InForce | NotInForce:
    """Whether critical commits are confirmed by a standby right now."""
    count, listed = wanted(synchronous.names)
    if not listed:
        return NotInForce("synchronous_standby_names is empty")
    if "*" in listed:
        return NotInForce(f"synchronous_standby_names is {synchronous.names!r}, which any replication client satisfies")
    names = {name.lower() for name in listed}
    standbys = tuple(sorted(name for name in synchronous.connected if name.lower() in names))
    if len(standbys) < count:
        return NotInForce(f"{len(standbys)} standbys of {synchronous.names!r} are connected, and {count} have to be")
    return InForce(standbys, synchronous.names if synchronous.literal else None)


def wanted(setting: str) -> tuple[int, tuple[str, ...]]:
    """How many standbys have to confirm, and the names they may have, of a `synchronous_standby_names`."""
    counted = _COUNT.fullmatch(setting)
    count, names = (int(counted[1]), counted[2]) if counted else (1, setting)
    return count, tuple((quoted or bare).replace('""', '"') for quoted, bare in _NAME.findall(names))

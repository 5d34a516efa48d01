"""Durability classes, and the receipt that says what a commit got."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from outlive.model.lsn import Lsn, Timeline


class Durability(Enum):
    """What a failover may lose of an acknowledged write: nothing, or the last moments."""

    CRITICAL = "critical"
    REGENERABLE = "regenerable"

    @property
    def synchronous_commit(self) -> str:
        """The value of PostgreSQL's `synchronous_commit` that keeps this promise."""
        return "on" if self is Durability.CRITICAL else "local"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an acknowledged commit got.

    `node` is `host:port` of the primary that took it. `lsn` is None where it was not asked for: to read it costs a
    round trip, and a session knows how far it is from the watch over the primary. `attempts` counts from 1.
    `synchronous_standbys` names the standbys listed as synchronous when the transaction began; empty
    means that none was in force. `replayed` says that the request was applied before, under the same key, and
    that this commit only made sure of it.
    """

    durability: Durability
    node: str
    timeline: Timeline
    lsn: Lsn | None
    synchronous_standbys: tuple[str, ...]
    attempts: int
    replayed: bool = False

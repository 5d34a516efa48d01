"""How much would be lost if every node were lost now, told from what the store proves.

Theory of operation. A primary's archiver takes the time, asks how far WAL is flushed, and brings everything up to
there into the store together with that time: whatever was acknowledged before it is then proved to be there. While
nothing is written it says so every few seconds. So the store alone bounds the loss by its newest such word:

    the primary answers, and the store reaches its end     nothing would be lost
    the primary answers, and the store doesn't             what was acknowledged since the newest word
    no primary answers                                     the same: what it acknowledged can't be told from outside

PostgreSQL's own statistics are no proof: they count commands that ended with 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from outlive.backup.plan.lineage import Coverage
from outlive.model.lsn import Lsn, Timeline


@dataclass(frozen=True, slots=True)
class PrimaryEnd:
    """How far the primary's WAL goes; asked before the store was."""

    timeline: Timeline
    end: Lsn


@dataclass(frozen=True, slots=True)
class Loss:
    """At most `seconds` of commits, and `behind_bytes` of WAL where a primary could be asked."""

    seconds: float
    behind_bytes: int | None


@dataclass(frozen=True, slots=True)
class Unproved:
    """The store proves no moment at all; `reason` says why."""

    reason: str


def newest(covered: Iterable[Coverage]) -> Coverage | None:
    """The newest word that the store holds: the latest timeline's, and on it the latest moment's."""
    return max(covered, key=lambda each: (each.timeline, each.at), default=None)


def measure(proved: Coverage | None, end: Lsn, primary: PrimaryEnd | None, now: datetime) -> Loss | Unproved:
    """What the loss of every node at `now` would take, with WAL in the store up to `end` of the newest timeline."""
    behind = None
    if primary is not None and proved is not None and primary.timeline == proved.timeline:
        behind = max(0, primary.end - end)
    if proved is None:
        return Unproved("no archiver has said yet how far the store reaches")
    if behind == 0:
        return Loss(0.0, 0)
    return Loss(max(0.0, (now - proved.at).total_seconds()), behind)

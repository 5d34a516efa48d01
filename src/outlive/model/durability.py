"""Durability classes, and the receipt that says what a commit got."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Self
from urllib.parse import quote, unquote

from outlive.model.lsn import Lsn, Timeline


class Durability(Enum):
    """What a failover may lose of an acknowledged write: nothing, or the last moments."""

    CRITICAL = "critical"
    REGENERABLE = "regenerable"

    @property
    def synchronous_commit(self) -> str:
        """The value of PostgreSQL's `synchronous_commit` that keeps this promise."""
        return "on" if self is Durability.CRITICAL else "local"


_FORM = "r1"
_NAME_SAFE = ":[]"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an acknowledged commit got. `str` makes a line of text of it, which `parse` reads in another process.

    `node` is `host:port` of the primary that took it. `synchronous_standbys` names the standbys listed as synchronous
    when the transaction began; empty means that none was in force. `attempts` counts from 1. `acknowledged_at` is
    aware UTC, by this client's clock. `replayed` says that the request was applied before, under the same key, and
    that this commit only made sure of it.

    `lsn` is None until `Cluster.locate` was asked, as to read it costs a round trip. Then whoever has the WAL up to
    `lsn` on `timeline` has the commit: it is a position at or after it, on the timeline that the primary was on when
    it was asked. `flushed` names the standbys that had that much on disk by then. Before, `timeline` is the commit's.
    """

    durability: Durability
    node: str
    timeline: Timeline
    lsn: Lsn | None
    synchronous_standbys: tuple[str, ...]
    attempts: int
    replayed: bool
    system_identifier: str
    acknowledged_at: datetime
    flushed: tuple[str, ...] = ()

    def __str__(self) -> str:
        fields = (
            _FORM,
            self.durability.value,
            self.system_identifier,
            f"{self.timeline:X}",
            "-" if self.lsn is None else f"{int(self.lsn):X}",
            quote(self.node, safe=_NAME_SAFE),
            _listed(self.synchronous_standbys),
            _listed(self.flushed),
            str(self.attempts),
            "again" if self.replayed else "first",
            self.acknowledged_at.isoformat(),
        )
        return "/".join(fields)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote.

        Raises:
            ValueError: the text is not a receipt.
        """
        try:
            form, durability, system, timeline, lsn, node, synchronous, flushed, attempts, which, at = text.split("/")
            parsed = cls(
                durability=Durability(durability),
                node=unquote(node),
                timeline=Timeline(int(timeline, 16)),
                lsn=None if lsn == "-" else Lsn(int(lsn, 16)),
                synchronous_standbys=_names(synchronous),
                attempts=int(attempts),
                replayed=which == "again",
                system_identifier=system,
                acknowledged_at=datetime.fromisoformat(at),
                flushed=_names(flushed),
            )
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"not a receipt: {text!r}") from None
        # Whatever is read otherwise than it is written was not written by `str`.
        if form != _FORM or str(parsed) != text:
            raise ValueError(f"not a receipt: {text!r}")
        return parsed


def _listed(names: tuple[str, ...]) -> str:
    return ",".join(quote(name, safe="") for name in names)


def _names(text: str) -> tuple[str, ...]:
    return tuple(unquote(name) for name in text.split(",")) if text else ()

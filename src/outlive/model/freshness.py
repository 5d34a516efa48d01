"""How old the state may be that a read sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Strong:
    """Every acknowledged write: served by the primary."""


@dataclass(frozen=True, slots=True)
class Session:
    """This session's own writes, and nothing older than it has read: a standby that has both, else the primary."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """Nothing older than `max_lag_s` seconds: a standby within that, else the primary."""

    max_lag_s: float


@dataclass(frozen=True, slots=True)
class Eventual:
    """Some past state: round robin over healthy standbys, the primary if there is none."""


Freshness = Strong | Session | Bounded | Eventual
FreshnessName = Literal["strong", "session", "eventual"]

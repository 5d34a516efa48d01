"""How old the state may be that a read sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Strong:
    """Every acknowledged write: served by the primary."""


@dataclass(frozen=True, slots=True)
class Eventual:
    """Some past state: round robin over healthy standbys, the primary if there is none."""


Freshness = Strong | Eventual
FreshnessName = Literal["strong", "eventual"]

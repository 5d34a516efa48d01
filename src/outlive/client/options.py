"""What callers pass, checked before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from outlive.client import nearest
from outlive.client.plan.begin import ISOLATIONS, Isolation
from outlive.errors import ConfigurationError
from outlive.model.durability import Durability
from outlive.model.freshness import Eventual, Freshness, Strong

T = TypeVar("T")

DurabilityName = Literal["critical", "regenerable"]
DegradedName = Literal["refuse", "allow"]

_FRESHNESS: dict[str, Freshness] = {"strong": Strong(), "eventual": Eventual()}
_DURABILITY = {known.value: known for known in Durability}
_DEGRADED = {"refuse": False, "allow": True}
_ISOLATION: dict[str, Isolation] = {name: name for name in ISOLATIONS}


def freshness(read: str) -> Freshness:
    """What `read=` means."""
    return _FRESHNESS.get(read) or _chosen("read", read, _FRESHNESS)


def durability(value: Durability | str) -> Durability:
    """What `durability=` means."""
    return value if isinstance(value, Durability) else _chosen("durability", value, _DURABILITY)


def isolation(value: str | None) -> Isolation | None:
    """What `isolation=` means; None leaves the server's default."""
    return None if value is None else _chosen("isolation", value, _ISOLATION)


def degraded(value: str) -> bool:
    """What `degraded=` means: whether critical writes may pass without a synchronous standby."""
    return _chosen("degraded", value, _DEGRADED)


def positive(name: str, value: object) -> float:
    """A number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{name} can't be {value!r}", hint="It is a number above zero.")
    return value


def _chosen(name: str, value: object, known: Mapping[str, T]) -> T:
    if isinstance(value, str) and value in known:
        return known[value]
    raise ConfigurationError(
        f"{name} can't be {value!r}", hint=nearest.hint(str(value), known, f"It is one of: {', '.join(known)}.")
    )

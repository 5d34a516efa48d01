"""What callers pass, checked before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

from outlive.client.plan.begin import ISOLATIONS, Isolation
from outlive.errors import ConfigurationError
from outlive.model import nearest
from outlive.model.durability import Durability
from outlive.model.freshness import Bounded, Eventual, Freshness, Session, Strong
from outlive.model.session import SessionToken
from outlive.model.topology import Address

T = TypeVar("T")

DurabilityName = Literal["critical", "regenerable"]
BOUNDED_HINT = ", outlive.bounded(seconds)"
DegradedName = Literal["refuse", "allow"]
DEFAULT_TIMEOUT_S = 60.0

_FRESHNESS: dict[str, Freshness] = {"strong": Strong(), "session": Session(), "eventual": Eventual()}
_DURABILITY = {known.value: known for known in Durability}
_DEGRADED = {"refuse": False, "allow": True}
_ISOLATION: dict[str, Isolation] = {name: name for name in ISOLATIONS}


def freshness(read: Freshness | str, *, linearizable: bool = False) -> Freshness:
    """What `read=` means; `linearizable` goes with strong reads only."""
    chosen = read if isinstance(read, Freshness) else _freshness(read)
    if linearizable and not isinstance(chosen, Strong):
        raise ConfigurationError(
            f"a read can't be {read!r} and linearizable", hint='Say read="strong" with linearizable=True.'
        )
    return chosen


def _freshness(read: str) -> Freshness:
    return _chosen("read", read, _FRESHNESS, BOUNDED_HINT)


def bounded(seconds: float) -> Bounded:
    """For `read=`: a state that is at most so many seconds old.

    Raises:
        ConfigurationError: it is not a number above zero.
    """
    return Bounded(positive("seconds", seconds))


def session(token: str | None) -> SessionToken | None:
    """What `session=` means."""
    if token is None:
        return None
    try:
        return SessionToken.parse(token)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"session can't be {token!r}", hint="It is what `await db.session.token()` gave."
        ) from None


def regions(
    given: Mapping[str, str] | None, hosts: Sequence[Address], region: str | None, *, known: bool
) -> dict[Address, str]:
    """What `regions=` means: the region of each node, by its host or its host and port as the DSN has them.

    `known` says that nobody else tells regions, so that the client's own has to be among them.
    """
    found: dict[Address, str] = {}
    for name, place in (given or {}).items():
        meant = [host for host in hosts if name in {host.host, str(host)}]
        if not meant or not isinstance(place, str):
            hint = nearest.hint(str(name), map(str, hosts), "Name hosts of the DSN.")
            raise ConfigurationError(f"regions can't have {name!r}: {place!r}", hint=hint)
        found |= dict.fromkeys(meant, place)
    if known and region is not None and region not in found.values():
        hint = nearest.hint(str(region), set(found.values()), "Name each node's region: regions={host: region}.")
        raise ConfigurationError(f"no node is in region {region!r}", hint=hint)
    return found


def durability(value: Durability | str) -> Durability:
    """What `durability=` means."""
    return value if isinstance(value, Durability) else _chosen("durability", value, _DURABILITY)


def isolation(value: str | None) -> Isolation | None:
    """What `isolation=` means; None leaves the server's default."""
    return None if value is None else _chosen("isolation", value, _ISOLATION)


def degraded(value: str) -> bool:
    """What `degraded=` means: whether critical writes may pass without a synchronous standby."""
    return _chosen("degraded", value, _DEGRADED)


MAX_TENANT_LENGTH = 500


def tenant(name: object) -> str:
    """What `as_tenant` was given."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_TENANT_LENGTH or "\0" in name:
        hint = f"It is a string of 1 to {MAX_TENANT_LENGTH} characters without NUL."
        raise ConfigurationError(f"a tenant can't be {name!r}", hint=hint)
    return name


def positive(name: str, value: object) -> float:
    """A number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{name} can't be {value!r}", hint="It is a number above zero.")
    return value


def _chosen(name: str, value: object, known: Mapping[str, T], more: str = "") -> T:
    if isinstance(value, str) and value in known:
        return known[value]
    raise ConfigurationError(
        f"{name} can't be {value!r}", hint=nearest.hint(str(value), known, f"It is one of: {', '.join(known)}{more}.")
    )

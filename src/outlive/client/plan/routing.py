"""Which node serves a call.

A write goes to the writable primary. A strong read too. Any other read goes to a fit standby, the nearest region
first, and to the primary if there is none. A standby is fit if it is on the highest timeline seen, its circuit is
closed, and its replay lag is known and within the bound; unknown lag counts as too much.

A session read needs more of a standby: everything that the session wrote, and everything that it has read. Both
are known without asking for a position. A standby whose lag is bounded knows every commit acknowledged before a
certain moment; if the session's latest write ended before that moment, the standby has it. What it has read is
kept by staying with one standby, whose replay never goes back. Leaving it for another takes one that knows
everything up to the latest read.

Invariant: no route leads to a node on a timeline below the highest seen, nor to one of two primaries.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from outlive.client.plan.topology import NoPrimary, Observation, Primary, SplitBrain, View
from outlive.model.freshness import Bounded, Eventual, Freshness, Session, Strong
from outlive.model.lsn import Lsn
from outlive.model.topology import Address, NodeFacts, Role

Refusal = NoPrimary | SplitBrain
NEVER = float("-inf")
START = Lsn(0)


@dataclass(frozen=True, slots=True)
class Standby:
    """The standby that a session reads from; another `visit` of the watch means that it may have been restarted."""

    address: Address
    visit: int


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a session has come. Moments are seconds on the monotonic clock.

    `lsn` is where it came from, by a token. `wrote_at` is when its latest call on a primary ended, `read_at` the
    same of a session read on the standby that it `follows`.
    """

    lsn: Lsn = START
    wrote_at: float = NEVER
    read_at: float = NEVER
    follows: Standby | None = None


@dataclass(frozen=True, slots=True)
class Preference:
    """What besides freshness chooses among nodes: the caller's region, and open circuits to keep away from."""

    max_lag_s: float
    region: str | None = None
    shut: Set[Address] = frozenset()


def route_read(
    view: View, freshness: Freshness, *, now: float, preference: Preference, turn: int, mark: Mark = Mark()
) -> Address | Refusal:
    """The node for a read; `turn` counts the reads, so that they take turns."""
    match freshness:
        case Strong():
            return route_write(view)
        case Session():
            standbys = [known for known in _fit(view, preference, now) if _has_session(known, mark)]
            for known in standbys:
                if _is_followed(known, mark):
                    return known.facts.address
            return _nearest(view, [known.facts for known in standbys], preference.region, turn)
        case Bounded(max_lag_s):
            fit = _fit(view, Preference(max_lag_s, preference.region, preference.shut), now)
        case Eventual():
            fit = _fit(view, preference, now)
    return _nearest(view, [known.facts for known in fit], preference.region, turn)


def route_write(view: View) -> Address | Refusal:
    """The one node that takes writes."""
    return view.writable.address if isinstance(view.writable, Primary) else view.writable


def known_until(facts: NodeFacts) -> float:
    """The moment before which every acknowledged commit is known to a standby; never, where its lag is unknown."""
    return NEVER if facts.replay_lag_s is None else facts.observed_at - facts.replay_lag_s


def _fit(view: View, preference: Preference, now: float) -> list[Observation]:
    """The standbys that may serve, in the order of their addresses."""
    oldest = now - preference.max_lag_s
    return [
        known
        for known in view.observed
        if known.facts.role is Role.STANDBY
        and known.facts.timeline >= view.highest
        and known_until(known.facts) >= oldest
        and known.facts.address not in preference.shut
    ]


def _has_session(known: Observation, mark: Mark) -> bool:
    """Whether a standby holds all that the session wrote, and all that it has read."""
    if known.facts.lsn < mark.lsn:
        return False
    needed = mark.wrote_at if _is_followed(known, mark) else max(mark.wrote_at, mark.read_at)
    return known_until(known.facts) > needed


def _is_followed(known: Observation, mark: Mark) -> bool:
    follows = mark.follows
    return follows is not None and follows.visit == known.visit and follows.address == known.facts.address


def _nearest(view: View, standbys: list[NodeFacts], region: str | None, turn: int) -> Address | Refusal:
    """In turn one of the region's standbys, else its primary, else in turn one of the others, else the primary."""
    near = standbys if region is None else [facts for facts in standbys if facts.region == region]
    if not near and not _primary_is_in(view, region):
        near = standbys
    return near[turn % len(near)].address if near else route_write(view)


def _primary_is_in(view: View, region: str | None) -> bool:
    return region is not None and isinstance(view.writable, Primary) and view.writable.facts.region == region

"""Which node serves a call.

A write goes to the writable primary. A strong read too. An eventual read goes round robin over the fit
standbys, and to the primary if there is none. A standby is fit if it is on the highest timeline seen and its
replay lag is known and within the bound; unknown lag counts as too much.

Invariant: no route leads to a node on a timeline below the highest seen, nor to one of two primaries.
"""

from __future__ import annotations

from outlive.client.plan.topology import NoPrimary, Primary, SplitBrain, View
from outlive.model.freshness import Eventual, Freshness, Strong
from outlive.model.topology import Address, NodeFacts, Role

Refusal = NoPrimary | SplitBrain


def route_read(view: View, freshness: Freshness, *, now: float, max_lag_s: float, turn: int) -> Address | Refusal:
    """The node for a read; `turn` counts the reads, so that they take turns."""
    match freshness:
        case Strong():
            return route_write(view)
        case Eventual():
            standbys = fit_standbys(view, now=now, max_lag_s=max_lag_s)
            return standbys[turn % len(standbys)] if standbys else route_write(view)


def route_write(view: View) -> Address | Refusal:
    """The one node that takes writes."""
    return view.writable.address if isinstance(view.writable, Primary) else view.writable


def fit_standbys(view: View, *, now: float, max_lag_s: float) -> list[Address]:
    """The standbys that an eventual read may use, in the order of their addresses."""
    return [known.facts.address for known in view.observed if _fit(known.facts, view, now, max_lag_s)]


def _fit(facts: NodeFacts, view: View, now: float, max_lag_s: float) -> bool:
    if facts.role is not Role.STANDBY or facts.timeline < view.highest or facts.replay_lag_s is None:
        return False
    return facts.replay_lag_s + (now - facts.observed_at) <= max_lag_s

"""The picture of the cluster, kept by merging one node's news at a time.

The writable primary is the one node out of recovery on the highest timeline ever seen. The highest timeline
never falls: a primary below it is an old one that has not noticed its demotion, and is ignored. Two primaries
on the same timeline are split brain, and neither is chosen.

A standby's replay lag is an upper bound, made of what this client saw: `samples` are the primary's positions
with the moment each was seen; a standby that has replayed a sample's position knows every commit acknowledged
before that moment. It needs no clock but ours and no privilege, and goes on growing while no primary answers.

Source: PostgreSQL documentation, "Timelines"; Patroni's leader race chooses by timeline and position alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from outlive.client.plan.synchronous import InForce, NotInForce, Synchronous, judge
from outlive.model.lsn import Lsn, Timeline
from outlive.model.topology import Address, NodeFacts, NodeSilence, Role, Topology

MAX_SAMPLES = 256
UNSEEN = Timeline(0)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one probe of one node brought; `synchronous` comes from a primary only.

    `visit` counts the connections that the watch of this node has needed: another number means that the server may
    have been restarted in between.
    """

    facts: NodeFacts
    synchronous: Synchronous | None = None
    visit: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """A position that the primary had reached at `at`, in seconds on the monotonic clock."""

    at: float
    timeline: Timeline
    lsn: Lsn


@dataclass(frozen=True, slots=True)
class Primary:
    """The node that takes writes, and whether a synchronous standby confirms them."""

    facts: NodeFacts
    synchronous: InForce | NotInForce

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.facts.address


@dataclass(frozen=True, slots=True)
class NoPrimary:
    """No node takes writes, as far as is known."""

    reason: str


@dataclass(frozen=True, slots=True)
class SplitBrain:
    """Two nodes or more take writes on one timeline."""

    addresses: tuple[Address, ...]
    timeline: Timeline


@dataclass(frozen=True, slots=True)
class View:
    """All that a client knows of its cluster."""

    observed: tuple[Observation, ...] = ()
    silent: tuple[NodeSilence, ...] = ()
    foreign: frozenset[Address] = frozenset()
    highest: Timeline = UNSEEN
    system_identifier: str | None = None
    samples: tuple[Sample, ...] = ()
    writable: Primary | NoPrimary | SplitBrain = NoPrimary("no node was asked yet")

    @property
    def topology(self) -> Topology:
        """The public picture of it."""
        return Topology(tuple(observation.facts for observation in self.observed), self.silent)


def merge(view: View, news: Observation | NodeSilence) -> View:
    """The picture after one node's news; a node of another cluster counts as silent."""
    address = news.address if isinstance(news, NodeSilence) else news.facts.address
    view = _without(view, address)
    if isinstance(news, NodeSilence):
        view = _unheard(view, news)
    elif view.system_identifier not in {None, news.facts.system_identifier}:
        view = replace(_unheard(view, _stranger(news.facts, view)), foreign=view.foreign | {address})
    else:
        view = _heard(view, news)
    return replace(view, writable=_writable(view))


def to_abort(before: View, after: View) -> dict[Address, str]:
    """The nodes whose connections became useless between two pictures, each with the reason."""
    was_useless = _useless(before)
    was_primary = {known.facts.address for known in before.observed if known.facts.role is Role.PRIMARY}
    demoted = {
        known.facts.address: "it was demoted"
        for known in after.observed
        if known.facts.role is Role.STANDBY and known.facts.address in was_primary
    }
    return demoted | {address: reason for address, reason in _useless(after).items() if address not in was_useless}


def _useless(view: View) -> dict[Address, str]:
    silent = {silence.address: silence.reason for silence in view.silent}
    outdated = {
        known.facts.address: f"it is an old primary (timeline {known.facts.timeline}, {view.highest} is known)"
        for known in view.observed
        if is_outdated_primary(known.facts, view.highest)
    }
    return silent | outdated


def is_outdated_primary(facts: NodeFacts, highest: Timeline) -> bool:
    """Whether a node still takes writes after another was promoted."""
    return facts.role is Role.PRIMARY and facts.timeline < highest


def _without(view: View, address: Address) -> View:
    return replace(
        view,
        observed=tuple(known for known in view.observed if known.facts.address != address),
        silent=tuple(silence for silence in view.silent if silence.address != address),
        foreign=view.foreign - {address},
    )


def _stranger(facts: NodeFacts, view: View) -> NodeSilence:
    ours = f"not {view.system_identifier}"
    reason = f"it belongs to another cluster (system identifier {facts.system_identifier}, {ours})"
    return NodeSilence(facts.address, reason, facts.observed_at)


def _unheard(view: View, news: NodeSilence) -> View:
    return replace(view, silent=tuple(sorted((*view.silent, news), key=lambda silence: silence.address)))


def _heard(view: View, news: Observation) -> View:
    facts = news.facts
    highest = max(view.highest, facts.timeline)
    samples = view.samples
    if facts.role is Role.PRIMARY and facts.timeline == highest:
        samples = (*samples, Sample(facts.observed_at, facts.timeline, facts.lsn))[-MAX_SAMPLES:]
    # A new sample bounds the lag of standbys heard before it too.
    observed = (replace(known, facts=with_lag(known.facts, samples)) for known in (*view.observed, news))
    return replace(
        view,
        observed=tuple(sorted(observed, key=lambda known: known.facts.address)),
        highest=highest,
        samples=samples,
        system_identifier=view.system_identifier or facts.system_identifier,
    )


def with_lag(facts: NodeFacts, samples: tuple[Sample, ...]) -> NodeFacts:
    """A standby's facts with the upper bound of its replay lag, None where no sample bounds it."""
    if facts.role is Role.PRIMARY:
        return facts
    replayed = [sample for sample in samples if sample.timeline <= facts.timeline and sample.lsn <= facts.lsn]
    if not replayed:
        return replace(facts, replay_lag_s=None, replay_lag_bytes=None)
    newest = samples[-1]
    lag_s = max(0.0, facts.observed_at - replayed[-1].at)
    return replace(facts, replay_lag_s=lag_s, replay_lag_bytes=max(0, newest.lsn - facts.lsn))


def _writable(view: View) -> Primary | NoPrimary | SplitBrain:
    candidates = [
        known
        for known in view.observed
        if known.facts.role is Role.PRIMARY and not is_outdated_primary(known.facts, view.highest)
    ]
    match candidates:
        case []:
            return NoPrimary(_why_none(view))
        case [one]:
            unseen = NotInForce("the node did not say how it replicates")
            return Primary(one.facts, judge(one.synchronous) if one.synchronous else unseen)
        case _:
            return SplitBrain(tuple(known.facts.address for known in candidates), view.highest)


def _why_none(view: View) -> str:
    standbys = [f"{known.facts.address} is {_standing(known.facts)}" for known in view.observed]
    silent = [f"{silence.address} is silent: {silence.reason}" for silence in view.silent]
    return "; ".join([*standbys, *silent]) or "no node was asked yet"


def _standing(facts: NodeFacts) -> str:
    return "a standby" if facts.role is Role.STANDBY else f"an old primary on timeline {facts.timeline}"

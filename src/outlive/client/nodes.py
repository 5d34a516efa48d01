"""The nodes as the calls use them: the watch over them, a pool for each, and the way from a call to a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from outlive.client.dsn import Dsn
from outlive.client.monitor import Monitor
from outlive.client.plan.retry import AttemptFailure, FailureKind
from outlive.client.plan.routing import Preference, Standby, route_read
from outlive.client.plan.synchronous import InForce
from outlive.client.plan.topology import Primary, View
from outlive.client.pools import Pool
from outlive.client.probe import Probe
from outlive.client.session import Session
from outlive.client.source import Placed, Source, Watch
from outlive.client.wire import Dialer, Wire, dialer_for
from outlive.errors import ConfigurationError, DurabilityNotMetError, NoPrimaryError, UnavailableError
from outlive.model import freshness as fresh
from outlive.model.deadline import Deadline
from outlive.model.freshness import Freshness
from outlive.model.session import SessionToken
from outlive.model.topology import Address, NodeFacts, Role
from outlive.system import monotonic
from outlive.telemetry.hooks import Hooks

DURABILITY_WAIT_S = 15.0
CONNECT_TIMEOUT_S = 1.5
DURABILITY_HINT = (
    "Bring a standby back (`outlive status`), write what can be recreated as `regenerable`, or accept a server "
    'without standbys: connect(degraded="allow").'
)
STRANGER_HINT = "List the nodes of one cluster only."
OTHERS_SESSION_HINT = "Pass a session token of this cluster, or none."
LOGIN_HINT = "Check user, password and database in the DSN."


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a client; seconds, except where the name says otherwise."""

    pool_size: int = 10
    connect_timeout_s: float | None = None
    probe_deadline_s: float = 0.8
    max_lag_s: float = 10.0
    start_timeout_s: float = 10.0
    close_timeout_s: float = 5.0
    region: str | None = None
    regions: Mapping[Address, str] = field(default_factory=dict)
    token: SessionToken | None = None
    pooler: bool = False
    source: Source | None = None
    hooks: Hooks = ()


_log = logging.getLogger("outlive.client")


class Nodes:
    """Watches every node of a DSN and pools connections to each."""

    def __init__(self, dsn: Dsn, limits: Limits) -> None:
        dialer = dialer_for(dsn, pooler=limits.pooler)
        connect_timeout_s = limits.connect_timeout_s or dsn.connect_timeout_s or CONNECT_TIMEOUT_S
        self.limits = limits
        shut: set[Address] = set()
        self.pools = {
            host: Pool(host, dialer, limits.pool_size, connect_timeout_s, shut, limits.hooks) for host in dsn.hosts
        }
        self._probes = [_watch(limits, dialer, pool) for pool in self.pools.values()]
        self.monitor = Monitor(self._probes, self._abort, self._heard, _seen_by(limits.token), limits.hooks)
        self.session = Session(self.monitor, limits.token)
        self._preference = Preference(limits.max_lag_s, limits.region, shut)
        self.lost: set[Callable[[Address, str], object]] = set()
        self._turn = 0
        self._cleaning: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Learn every node's state once, and go on as soon as one has answered.

        A node that was too busy to answer at first may refuse later, as the others did.

        Raises:
            ConfigurationError: a node belongs to another cluster, or every node refused the login.
            UnavailableError: no node answered in time.
        """
        deadline = Deadline.after(self.limits.start_timeout_s, monotonic())
        await self.monitor.start(deadline)
        await self.monitor.wait(lambda view: bool(view.observed or view.foreign) or self._is_refused(), deadline)
        view = self.monitor.view
        if view.foreign:
            strangers = [f"{known.address}: {known.reason}" for known in view.silent if known.address in view.foreign]
            raise ConfigurationError(
                "; ".join(strangers), hint=OTHERS_SESSION_HINT if self.limits.token else STRANGER_HINT
            )
        if self._is_refused():
            raise ConfigurationError(f"{self._probes[0].address}: {self._probes[0].refusal}", hint=LOGIN_HINT)
        if not view.observed:
            silent = [f"{known.address}: {known.reason}" for known in view.silent]
            raise UnavailableError(f"no node answered: {'; '.join(silent)}")

    def _is_refused(self) -> bool:
        return all(probe.refusal is not None for probe in self._probes)

    async def close(self) -> None:
        """Let calls under way finish for a moment, then drop everything; may be called twice."""
        deadline = Deadline.after(self.limits.close_timeout_s, monotonic())
        await asyncio.gather(*(pool.drain(deadline) for pool in self.pools.values()))
        await self.monitor.stop()
        await asyncio.gather(*(pool.close() for pool in self.pools.values()))

    def ready(self, *, synchronous: bool) -> Primary | None:
        """The node that takes writes, if it is known and, where that is asked for, a standby confirms them."""
        writable = self.monitor.view.writable
        if not isinstance(writable, Primary) or self.monitor.stopped:
            return None
        return None if synchronous and not isinstance(writable.synchronous, InForce) else writable

    async def primary(self, deadline: Deadline) -> Primary:
        """The node that takes writes.

        Raises:
            NoPrimaryError: none was found before the deadline.
            SplitBrainError: two were.
            ConfigurationError: the client was closed meanwhile.
        """
        self._check_open()
        try:
            return await self.monitor.primary(deadline)
        except NoPrimaryError:
            self._check_open()
            raise

    async def synchronous_primary(self, deadline: Deadline) -> Primary:
        """The node that takes writes, once a standby confirms them.

        Raises:
            DurabilityNotMetError: none did in time.
        """
        await self.primary(deadline)
        if (found := _synchronous(self.monitor.view)) is None:
            await self.monitor.wait(
                lambda view: _synchronous(view) is not None, deadline.sooner(DURABILITY_WAIT_S, monotonic())
            )
            found = _synchronous(self.monitor.view)
        if found is not None:
            return found
        primary = await self.primary(deadline)
        assert not isinstance(primary.synchronous, InForce)
        raise DurabilityNotMetError(f"{primary.address}: {primary.synchronous.reason}", hint=DURABILITY_HINT)

    def reader(self, freshness: Freshness) -> Address | None:
        """The node for a read, if one can serve it now."""
        self._turn += 1
        view = self.monitor.view
        route = route_read(
            view, freshness, now=monotonic(), preference=self._preference, turn=self._turn, mark=self.session.mark
        )
        if not isinstance(route, Address):
            return None
        if isinstance(freshness, fresh.Session):
            for known in view.observed:
                if known.facts.address == route and known.facts.role is Role.STANDBY:
                    self.session.follow(Standby(route, known.visit))
        return route

    def take(self, address: Address) -> Wire | None:
        """A connection to a node that lies idle, to be given back with `release`."""
        return None if self.monitor.stopped else self.pools[address].take()

    async def acquire(self, address: Address, deadline: Deadline) -> Wire:
        """A connection to a node, to be given back with `release`."""
        self._check_open()
        return await self.pools[address].acquire(deadline)

    def release(self, wire: Wire, failure: AttemptFailure | None = None, read: Freshness | None = None) -> None:
        """Give a connection back; one whose state is in doubt is dropped. `read` says what a read asked for."""
        if failure is not None and failure.kind is not FailureKind.CONFLICT:
            wire.cut(failure.message)
        elif wire.is_open and wire.connection.is_in_transaction():
            wire.cut("its user left a transaction open")
        self._note(wire.address, read)
        if wire.residue and wire.is_open:
            # Counted as in use until it is clean.
            cleaning = asyncio.create_task(self._clean(wire), name="outlive reset")
            self._cleaning.add(cleaning)
            cleaning.add_done_callback(self._cleaning.discard)
        else:
            self.pools[wire.address].release(wire)

    async def _clean(self, wire: Wire) -> None:
        try:
            await wire.reset()
        finally:
            self.pools[wire.address].release(wire)

    def _heard(self, facts: NodeFacts) -> None:
        self.pools[facts.address].heard(facts)

    def _note(self, address: Address, read: Freshness | None) -> None:
        match read:
            case fresh.Eventual() | fresh.Bounded():
                # They promise nothing to the reads that follow, and must not drive those to the primary.
                pass
            case fresh.Session():
                self.session.has_read(address)
            case _:
                self.session.wrote()

    def _check_open(self) -> None:
        # A call that outlasts the client would otherwise open connections that nobody closes.
        if self.monitor.stopped:
            raise ConfigurationError("the client was closed", hint="Let its calls end before it is closed.")

    def _abort(self, address: Address, reason: str) -> None:
        self.pools[address].abort(reason)
        for callback in tuple(self.lost):
            try:
                callback(address, reason)
            except Exception:
                _log.exception("a callback failed at the loss of %s", address)


def _watch(limits: Limits, dialer: Dialer, pool: Pool) -> Watch:
    """The watch over a pool's node: by the source that was asked for, else by a connection of its own."""
    host = pool.address
    default = Probe(host, dialer, limits.probe_deadline_s, lambda: pool.heard_at)
    watch: Watch = default if limits.source is None else limits.source(host)
    return Placed(watch, limits.regions[host]) if host in limits.regions else watch


def _seen_by(token: SessionToken | None) -> View:
    """What a client knows from the start: with a token, the cluster and the timeline that its session has seen."""
    return View(highest=token.timeline, system_identifier=token.system_identifier) if token else View()


def _synchronous(view: View) -> Primary | None:
    match view.writable:
        case Primary(_, InForce()) as primary:
            return primary
        case _:
            return None

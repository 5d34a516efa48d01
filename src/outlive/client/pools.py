"""A node's connections, bounded, handed out without a round trip.

A caller takes the connection that was used last, else opens one, else waits in line. Nothing is reset between
uses: the product's own calls leave the session as they found it, and `Cluster.connection()` resets what it
hands out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import asyncpg

from outlive.client.alarm import Alarm
from outlive.client.failures import AttemptError
from outlive.client.plan import breaker
from outlive.client.plan.breaker import Breaker
from outlive.client.plan.retry import AttemptFailure, FailureKind, Phase
from outlive.client.wire import Dialer, Wire
from outlive.errors import PoolTimeoutError
from outlive.model.deadline import Deadline
from outlive.model.topology import Address, NodeFacts
from outlive.system import monotonic
from outlive.telemetry.events import PoolWaited
from outlive.telemetry.hooks import Hooks, tell

MAX_WAITING = 10_000
CLOSE_S = 2.0
CIRCUIT_OPEN = "its circuit is open until it answers the watch"


@dataclass(slots=True, eq=False)
class _Waiter:
    """A caller who waits for a connection; None means that there is room to open one."""

    served: asyncio.Future[Wire | None]
    until: float


class Pool:
    """Connections to one node, `max_size` at most; at most `MAX_WAITING` callers wait for one.

    It keeps its address in `shut` while its circuit lets no caller connect.
    """

    def __init__(
        self,
        address: Address,
        dialer: Dialer,
        max_size: int,
        connect_timeout_s: float,
        shut: set[Address],
        hooks: Hooks = (),
    ) -> None:
        self.address = address
        self.breaker = breaker.FRESH
        self._shut = shut
        self.heard_at = 0.0
        self._dialer = dialer
        self._max_size = max_size
        self._hooks = hooks
        self._connect_timeout_s = connect_timeout_s
        self._idle: deque[Wire] = deque()
        self._open: set[Wire] = set()
        self._given_back = asyncio.Event()
        self._dialing = 0
        self._generation = 0
        self._waiting: deque[_Waiter] = deque()
        self._alarm = Alarm(self._overdue)

    @property
    def size(self) -> int:
        """Connections that are open, or being opened."""
        return len(self._open) + self._dialing

    @property
    def in_use(self) -> int:
        """Connections that are handed out or being opened."""
        return self.size - len(self._idle)

    def take(self) -> Wire | None:
        """A connection that lies idle, to be given back with `release`."""
        while self._idle:
            wire = self._idle.pop()
            if wire.is_open:
                return wire
            self._forget(wire)
        return None

    async def acquire(self, deadline: Deadline) -> Wire:
        """A connection, to be given back with `release`.

        Raises:
            AttemptError: the node can't be reached, or its connections were aborted meanwhile.
            PoolTimeoutError: none became free before the deadline, or too many callers wait already.
        """
        while True:
            wire = self.take()
            if wire is None and self.size < self._max_size:
                return await self._dial(deadline)
            wire = wire or await self._wait(deadline)
            if wire is not None and wire.is_open:
                return wire
            if wire is not None:
                # It was lost after it had been handed over, before its taker woke up.
                self.release(wire)

    def release(self, wire: Wire) -> None:
        """Give a connection back; one that is closed makes room for another."""
        self._given_back.set()
        if wire not in self._open:
            return
        if not wire.is_open:
            self._forget(wire)
            self._hand(None)
            return
        self.heard_at = monotonic()
        if not self._hand(wire):
            self._idle.append(wire)

    def abort(self, reason: str) -> None:
        """Cut every connection at once; whoever uses or awaits one fails now."""
        self._generation += 1
        for wire in self._open:
            wire.cut(reason)
        self._open.clear()
        self._idle.clear()
        failure = AttemptFailure(Phase.CONNECT, FailureKind.UNREACHABLE, f"{self.address}: {reason}")
        while self._waiting:
            waiter = self._waiting.popleft().served
            if not waiter.done():
                waiter.set_exception(AttemptError(failure))

    async def drain(self, deadline: Deadline) -> None:
        """Wait until every connection is given back, or the deadline comes."""
        while self.in_use and not deadline.expired(monotonic()):
            self._given_back.clear()
            try:
                async with asyncio.timeout(deadline.remaining_s(monotonic())):
                    await self._given_back.wait()
            except TimeoutError:
                return

    async def close(self) -> None:
        """Say goodbye on every idle connection, and cut the others."""
        idle, self._idle = self._idle, deque()
        self._open.difference_update(idle)
        self.abort("the client was closed")
        self._alarm.stop()
        await asyncio.gather(*(_close(wire) for wire in idle))

    def _forget(self, wire: Wire) -> None:
        self._open.discard(wire)
        wire.alarm.stop()

    def heard(self, facts: NodeFacts) -> None:
        """The watch has heard the node: an open circuit may be tried once."""
        self._turn(breaker.heard(self.breaker, facts.role, facts.observed_at))

    def _turn(self, circuit: Breaker) -> None:
        self.breaker = circuit
        if circuit.admits:
            self._shut.discard(self.address)
        else:
            self._shut.add(self.address)

    async def _dial(self, deadline: Deadline) -> Wire:
        """Open a connection, if the circuit lets this caller through."""
        if not self.breaker.admits:
            self._hand(None)
            raise AttemptError(AttemptFailure(Phase.CONNECT, FailureKind.UNREACHABLE, CIRCUIT_OPEN))
        self._turn(breaker.tried(self.breaker))
        try:
            wire = await self._open_one(deadline)
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError):
            # The node is well, and its own words tell the caller more than an open circuit would.
            self._turn(breaker.left(self.breaker))
            raise
        except Exception:
            self._turn(breaker.failed(self.breaker, monotonic()))
            raise
        except BaseException:
            self._turn(breaker.left(self.breaker))
            raise
        self._turn(breaker.succeeded(self.breaker))
        return wire

    async def _open_one(self, deadline: Deadline) -> Wire:
        timeout_s = min(self._connect_timeout_s, deadline.remaining_s(monotonic()))
        generation = self._generation
        self._dialing += 1
        try:
            wire = await self._dialer.dial(self.address, timeout_s)
        except BaseException:
            self._hand(None)
            raise
        finally:
            self._dialing -= 1
        if generation != self._generation:
            reason = "its connections were aborted meanwhile"
            wire.cut(reason)
            self._hand(None)
            raise AttemptError(AttemptFailure(Phase.CONNECT, FailureKind.UNREACHABLE, reason))
        self._open.add(wire)
        return wire

    async def _wait(self, deadline: Deadline) -> Wire | None:
        """The next connection given back, or None: there is room to open one."""
        if len(self._waiting) >= MAX_WAITING:
            raise PoolTimeoutError(f"{self.address}: {MAX_WAITING} callers wait for a connection already")
        waiter = _Waiter(asyncio.get_running_loop().create_future(), deadline.at)
        self._waiting.append(waiter)
        self._alarm.no_later(deadline.at)
        began_at, served = monotonic() if self._hooks else 0.0, False
        try:
            wire = await waiter.served
        except BaseException:
            self._leave(waiter)
            raise
        else:
            served = True
            return wire
        finally:
            if self._hooks:
                tell(self._hooks, PoolWaited(self.address, monotonic() - began_at, served))

    def _overdue(self) -> None:
        """Send away the callers whose deadline came, and wait for the next deadline."""
        now = monotonic()
        for waiter in [waiter for waiter in self._waiting if waiter.until <= now]:
            self._waiting.remove(waiter)
            if not waiter.served.done():
                held = f"all {self._max_size} connections stayed in use until the deadline"
                waiter.served.set_exception(PoolTimeoutError(f"{self.address}: {held}"))
        if self._waiting:
            self._alarm.set(min(waiter.until for waiter in self._waiting))

    def _leave(self, waiter: _Waiter) -> None:
        """Forget a waiter; what it was handed and can't take any more goes to the next."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif (served := waiter.served).done() and not served.cancelled() and served.exception() is None:
            wire = served.result()
            if wire is None:
                self._hand(None)
            else:
                self.release(wire)

    def _hand(self, wire: Wire | None) -> bool:
        while self._waiting:
            waiter = self._waiting.popleft().served
            if not waiter.done():
                waiter.set_result(wire)
                return True
        return False


async def _close(wire: Wire) -> None:
    wire.alarm.stop()
    try:
        async with asyncio.timeout(CLOSE_S):
            await wire.connection.close()
    except Exception:
        wire.cut("it did not close in time")

"""Whatever a client believes of its primary, the server compares it with the truth before it writes anything."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

import outlive
from integration.client.servers import Servers
from outlive.client.plan.synchronous import Synchronous
from outlive.client.plan.topology import Observation
from outlive.client.source import Source
from outlive.model.deadline import Deadline
from outlive.model.lsn import Lsn, Timeline
from outlive.model.topology import Address, NodeFacts, Role
from outlive.system import monotonic

INSERT = "insert into entries values ($1, $2)"
TWO: list[str | tuple[str, list[object]]] = [(INSERT, [1, "x"]), (INSERT, [2, "y"])]
NAMES = "ANY 1 (n2,n3)"
OTHER_NAMES = "ANY 1 (n2, n3)"


@dataclass
class Belief:
    """What the client is told, true or not; the first node is the primary."""

    primary: Address
    timeline: int = 1

    def source(self) -> Source:
        """A watch that tells it of each node."""
        return lambda address: Told(self, address)


@dataclass
class Told:
    """One node's watch."""

    belief: Belief
    address: Address
    refusal: str | None = None

    async def observe(self) -> Observation:
        """The belief."""
        is_primary = self.address == self.belief.primary
        role = Role.PRIMARY if is_primary else Role.STANDBY
        facts = NodeFacts(self.address, "1", role, Timeline(self.belief.timeline), Lsn(1), None, monotonic())
        return Observation(facts, Synchronous(NAMES, ("n2", "n3")) if is_primary else None)

    async def stop(self) -> None:
        """Nothing is held."""


@pytest.fixture
def belief(servers: Servers) -> Belief:
    """The truth, at first."""
    return Belief(Address("127.0.0.1", servers.ports["n1"]))


@pytest.fixture
async def believing(servers: Servers, keyed: outlive.Cluster, belief: Belief) -> AsyncIterator[outlive.Cluster]:
    """A client that believes it."""
    assert keyed.topology.nodes
    async with outlive.connect(servers.dsn(), topology=belief.source()) as db:
        yield db


async def _insert(tx: outlive.Transaction, number: int) -> None:
    await tx.execute(INSERT, number, "x")


async def _append(db: outlive.Cluster, timeout: float) -> None:
    async with await db.writer("entries", ["id", "body"]) as writer:
        await writer.append(1, "x", timeout=timeout)


Call = Callable[[outlive.Cluster, float], Awaitable[object]]
CALL_LIMIT = 10
PATIENT_S = 60.0
"""For a call that is to succeed, or to be refused at once."""
IMPATIENT_S = 1.0
"""For one that is tried again until its time is over."""
CUT_SHORT = re.compile("TimeoutError|the deadline came")
CALLS: dict[str, Call] = {
    "run": lambda db, timeout: db.run(_insert, 1, timeout=timeout),
    "run with a key": lambda db, timeout: db.run(_insert, 1, key=outlive.new_key(), timeout=timeout),
    "batch": lambda db, timeout: db.batch(TWO, timeout=timeout),
    "batch with a key": lambda db, timeout: db.batch(TWO, key=outlive.new_key(), timeout=timeout),
    "statement with a key": lambda db, timeout: db.batch([(INSERT, [1, "x"])], key=outlive.new_key(), timeout=timeout),
    "writer": _append,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_primary_on_a_timeline_that_is_not_the_newest_is_refused(
    believing: outlive.Cluster, keyed: outlive.Cluster, belief: Belief, call: Call
) -> None:
    """By each kind of write, as often as it is tried; nothing of it is applied."""
    belief.timeline = 9
    assert await believing._running().monitor.wait(
        lambda view: view.highest == 9, Deadline.after(PATIENT_S, monotonic())
    )
    with pytest.raises(outlive.TransactionError):
        await call(believing, IMPATIENT_S)
    assert await keyed.fetchval("select count(*) from entries", read="strong") == 0


_REFUSALS = (outlive.RetryBudgetExceededError, outlive.DurabilityNotMetError, outlive.CommitUnknownError)
"""The last where a batch, whose one message has its COMMIT in it, was under way at the deadline."""


async def _refusal(db: outlive.Cluster, call: Call) -> outlive.OutliveError:
    """How the call fails; called again where its time was over in the midst of the last attempt."""
    for _ in range(CALL_LIMIT):
        with pytest.raises(_REFUSALS) as raised:
            await call(db, IMPATIENT_S)
        if not CUT_SHORT.search(str(raised.value)):
            break
    return raised.value


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_synchronous_setting_that_changed_is_refused(
    believing: outlive.Cluster, keyed: outlive.Cluster, servers: Servers, call: Call
) -> None:
    """On a connection that has the fence prepared too: it passed once before."""
    await call(believing, PATIENT_S)
    before = await keyed.fetchval("select count(*) from entries", read="strong")
    await servers.configure("n1", synchronous_standby_names=OTHER_NAMES)
    try:
        error = await _refusal(believing, call)
        assert "synchronous_standby_names became" in str(error)
        assert error.outcome is outlive.Outcome.NOT_APPLIED
        assert await keyed.fetchval("select count(*) from entries", read="strong") == before
    finally:
        await servers.configure("n1", synchronous_standby_names=NAMES)

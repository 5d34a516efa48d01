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


async def _append(db: outlive.Cluster) -> None:
    async with await db.writer("entries", ["id", "body"], timeout=2) as writer:
        await writer.append(1, "x", timeout=1)


Call = Callable[[outlive.Cluster], Awaitable[object]]
CALL_LIMIT = 10
CUT_SHORT = re.compile("TimeoutError|the deadline came")
CALLS: dict[str, Call] = {
    "run": lambda db: db.run(_insert, 1, timeout=1),
    "run with a key": lambda db: db.run(_insert, 1, key=outlive.new_key(), timeout=1),
    "batch": lambda db: db.batch([(INSERT, [1, "x"]), (INSERT, [2, "y"])], timeout=1),
    "batch with a key": lambda db: db.batch([(INSERT, [1, "x"]), (INSERT, [2, "y"])], key=outlive.new_key(), timeout=1),
    "statement with a key": lambda db: db.batch([(INSERT, [1, "x"])], key=outlive.new_key(), timeout=1),
    "writer": _append,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_primary_on_a_timeline_that_is_not_the_newest_is_refused(
    believing: outlive.Cluster, keyed: outlive.Cluster, belief: Belief, call: Call
) -> None:
    """By each kind of write, as often as it is tried; nothing of it is applied."""
    belief.timeline = 9
    await believing._running().monitor.wait(lambda view: view.highest == 9, Deadline.after(5, monotonic()))
    with pytest.raises(outlive.TransactionError):
        await call(believing)
    assert await keyed.fetchval("select count(*) from entries", read="strong") == 0


_REFUSALS = (outlive.RetryBudgetExceededError, outlive.DurabilityNotMetError, outlive.CommitUnknownError)
"""The last where a batch, whose one message has its COMMIT in it, was under way at the deadline."""


async def _refusal(db: outlive.Cluster, call: Call) -> outlive.OutliveError:
    """How the call fails; called again where its time was over in the midst of the last attempt."""
    for _ in range(CALL_LIMIT):
        with pytest.raises(_REFUSALS) as raised:
            await call(db)
        if not CUT_SHORT.search(str(raised.value)):
            break
    return raised.value


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_synchronous_setting_that_changed_is_refused(
    believing: outlive.Cluster, keyed: outlive.Cluster, servers: Servers, call: Call
) -> None:
    """On a connection that has the fence prepared too: it passed once before."""
    await call(believing)
    before = await keyed.fetchval("select count(*) from entries", read="strong")
    await servers.configure("n1", synchronous_standby_names=OTHER_NAMES)
    try:
        error = await _refusal(believing, call)
        assert "synchronous_standby_names became" in str(error)
        assert error.outcome is outlive.Outcome.NOT_APPLIED
        assert await keyed.fetchval("select count(*) from entries", read="strong") == before
    finally:
        await servers.configure("n1", synchronous_standby_names=NAMES)

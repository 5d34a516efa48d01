"""A primary that may not write is no demoted one: what forbids it is named at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

import outlive
from integration.client.servers import Servers
from integration.client.test_fence import CALLS, PATIENT_S, Call
from outlive.telemetry.events import AttemptStarted, Event

ROLE = "may_only_read"
SETTING = "default_transaction_read_only"
EXECUTES: dict[str, Call] = {
    "execute": lambda db, timeout: db.execute("insert into entries values (1, 'x')", timeout=timeout)
}


@pytest.fixture
async def restricted(servers: Servers, keyed: outlive.Cluster) -> AsyncIterator[str]:
    """The DSN of a superuser whose transactions are read only, unless they say otherwise."""
    await keyed.execute(f"drop role if exists {ROLE}")
    await keyed.execute(f"create role {ROLE} superuser login password 'p@ss/w:rd'")
    await keyed.execute(f"alter role {ROLE} set {SETTING} = on")
    yield servers.dsn(ROLE)
    await keyed.execute(f"drop role {ROLE}")


@pytest.mark.parametrize("call", [*CALLS.values(), *EXECUTES.values()], ids=[*CALLS, *EXECUTES])
async def test_the_setting_is_named_at_the_first_attempt(restricted: str, keyed: outlive.Cluster, call: Call) -> None:
    """By each kind of write; nothing is applied, and once the setting is gone the same client writes."""
    told: list[Event] = []
    async with outlive.connect(restricted, telemetry=told.append) as db:
        with pytest.raises(outlive.ConfigurationError, match=f"{SETTING} is on") as refused:
            await call(db, PATIENT_S)
        assert refused.value.outcome is outlive.Outcome.NOT_APPLIED
        assert "RESET" in refused.value.hint
        assert {event.attempt for event in told if isinstance(event, AttemptStarted)} == {1}
        assert await keyed.fetchval("select count(*) from entries", read="strong") == 0
        await keyed.execute(f"alter role {ROLE} reset {SETTING}")
        await call(db, PATIENT_S)
    assert await keyed.fetchval("select count(*) from entries", read="strong") > 0


async def test_a_setting_of_the_whole_server_reaches_sessions_that_are_open(
    servers: Servers, keyed: outlive.Cluster
) -> None:
    """A session is told of it with the answer that refuses."""
    await keyed.execute("insert into entries values (1, 'x')")
    await servers.configure("n1", default_transaction_read_only="on")
    try:
        with pytest.raises(outlive.ConfigurationError, match=f"{SETTING} is on"):
            await keyed.execute("insert into entries values (2, 'x')")
    finally:
        await servers.configure("n1", default_transaction_read_only="off")
    await keyed.execute("insert into entries values (3, 'x')")


async def test_what_the_caller_forbade_is_the_callers_own(keyed: outlive.Cluster) -> None:
    """The error of a write in a transaction that was declared to only read passes through untouched, and at once."""
    begun = 0

    async def contradict(tx: outlive.Transaction) -> None:
        nonlocal begun
        begun += 1
        await tx.execute("set transaction read only")
        await tx.execute("insert into entries values (1, 'x')")

    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await keyed.run(contradict)
    assert begun == 1

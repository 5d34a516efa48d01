"""A request with a key is applied once, whatever becomes of its COMMITs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import outlive
import outlive.sync
from integration.client.servers import Servers
from integration.client.waiting import until
from outlive.client.plan import keys
from outlive.client.plan.begin import quoted
from outlive.testing import FaultProxy
from outlive.testing.proxy import Where

IN_FULL = os.environ.get("OUTLIVE_FAULTS") == "full"
OPERATIONS = 1000 if IN_FULL else 200


@pytest.fixture
async def proxy(servers: Servers) -> AsyncIterator[FaultProxy]:
    """A proxy before the primary."""
    async with FaultProxy(servers.ports["n1"], random=Random(40)) as made:
        yield made


async def insert(tx: outlive.Transaction, number: int) -> dict[str, int]:
    """Say something that is wrong if it is said twice."""
    await tx.execute("insert into entries values ($1, 'x')", number)
    return {"number": number}


async def numbers(db: outlive.Cluster) -> list[int]:
    """What is there."""
    return [row["id"] for row in await db.fetch("select id from entries order by id", read="strong")]


async def test_a_thousand_operations_under_cut_commits_are_applied_once(
    proxied: outlive.Cluster, keyed: outlive.Cluster, proxy: FaultProxy
) -> None:
    """Of the COMMITs of 8 tasks 40 % are cut, half before and half after the server has them: each is applied once."""
    proxy.cut_commit("before", probability=0.2)
    proxy.cut_commit("after", probability=0.25)  # of the 80 % that are left
    returned: list[dict[str, int]] = []

    async def worker(first: int) -> None:
        for number in range(first, OPERATIONS, 8):
            key = outlive.new_key() if number % 2 else f"operation-{uuid4()}"
            returned.append(await proxied.run(insert, number, key=key))

    await asyncio.gather(*(worker(first) for first in range(8)))
    print(f"{OPERATIONS} operations, cuts: {dict(proxy.cuts)}")  # noqa: T201
    assert await numbers(keyed) == list(range(OPERATIONS))
    assert sorted(answer["number"] for answer in returned) == list(range(OPERATIONS))
    assert min(proxy.cuts["before"], proxy.cuts["after"]) >= OPERATIONS // 10


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_cut_at_any_byte_of_the_commit_applies_once(
    proxied: outlive.Cluster, keyed: outlive.Cluster, proxy: FaultProxy, where: Where
) -> None:
    """The exchange is cut at each byte boundary of its message and of its answer, once each."""
    value = 0
    key = "byte-00"
    longest = len(keys.Key(key, b"").commit('{"number":100}')) + 6 if where == "before" else 40
    for at_byte in range(longest):
        proxy.cut_commit(where, at_byte=at_byte, times=1)
        value = 100 + at_byte
        assert await proxied.run(insert, value, key=f"{where}-{at_byte:02}-{uuid4()}") == {"number": value}
        proxy.heal()
    assert await numbers(keyed) == list(range(100, value + 1))
    assert proxy.cuts[where] == longest


@pytest.mark.parametrize("key", [outlive.new_key, lambda: f"mine-{uuid4()}"], ids=["uuid", "text"])
async def test_a_request_that_was_done_before_is_replayed(keyed: outlive.Cluster, key) -> None:  # type: ignore[no-untyped-def]
    """The stored result comes back, nothing is applied, and the receipt says so."""
    made = key()
    receipts: list[outlive.Receipt] = []
    first = await keyed.run(insert, 7, key=made, on_receipt=receipts.append)
    again = await keyed.run(insert, 7, key=str(made), on_receipt=receipts.append)
    assert first == again == {"number": 7}
    assert [receipt.replayed for receipt in receipts] == [False, True]
    assert await numbers(keyed) == [7]


async def test_a_key_with_other_arguments_is_refused(keyed: outlive.Cluster) -> None:
    """Nothing of the second request is applied, neither of another function."""
    key = outlive.new_key()

    async def other(tx: outlive.Transaction, number: int) -> None:
        await tx.execute("insert into entries values ($1, 'y')", number)

    await keyed.run(insert, 1, key=key)
    for fn, number in ((insert, 2), (insert, True), (other, 1)):
        with pytest.raises(outlive.KeyReusedError) as raised:
            await keyed.run(fn, number, key=key)
        assert raised.value.outcome is outlive.Outcome.NOT_APPLIED
    assert await numbers(keyed) == [1]


async def test_two_at_once_are_one(keyed: outlive.Cluster) -> None:
    """Whoever comes while the first one is under way waits for its end, and gets its result."""
    key, runs = outlive.new_key(), 0

    async def slow(tx: outlive.Transaction) -> int:
        nonlocal runs
        runs += 1
        return int(await tx.fetchval("select 42 from (select pg_sleep(0.1)) as slept"))

    assert await asyncio.gather(*(keyed.run(slow, key=key) for _ in range(5))) == [42] * 5
    assert runs == 1


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_two_at_once_are_one_under_any_isolation(keyed: outlive.Cluster, isolation) -> None:  # type: ignore[no-untyped-def]
    """A snapshot from before the other's commit is a conflict, and tried again."""
    key = outlive.new_key()
    await asyncio.gather(*(keyed.run(insert, 3, key=key, isolation=isolation) for _ in range(4)))
    assert await numbers(keyed) == [3]


async def test_a_rolled_back_request_leaves_its_key_free(keyed: outlive.Cluster) -> None:
    """The caller's own error passes through, and the next attempt is a first one."""
    key = outlive.new_key()

    async def fail(tx: outlive.Transaction) -> None:
        await insert(tx, 1)
        raise LookupError("mine")

    with pytest.raises(LookupError):
        await keyed.run(fail, key=key)
    await keyed.run(insert, 2, key=key)
    assert await numbers(keyed) == [2]


@pytest.mark.parametrize("bad", [5, "", "a\0b", "\ud800", "x" * 501, uuid4(), b"key"])
async def test_a_wrong_key_is_refused_before_anything(keyed: outlive.Cluster, bad: object) -> None:
    """It is named, and nothing is sent."""
    with pytest.raises(outlive.ConfigurationError, match="key"):
        await keyed.run(insert, 1, key=bad)  # type: ignore[arg-type]
    assert await numbers(keyed) == []


async def test_a_result_that_is_not_json_applies_nothing(keyed: outlive.Cluster) -> None:
    """What could not be given back later is not taken now; the key stays free."""
    key = outlive.new_key()

    async def odd(tx: outlive.Transaction) -> object:
        await insert(tx, 1)
        return object()

    with pytest.raises(outlive.UnstorableError):
        await keyed.run(odd, key=key)
    assert await numbers(keyed) == []


async def test_arguments_without_a_canonical_form_are_refused(keyed: outlive.Cluster) -> None:
    """Two requests could not be told from each other."""
    with pytest.raises(outlive.ConfigurationError, match="argument 1"):
        await keyed.run(insert, object(), key=outlive.new_key())


@pytest.mark.parametrize("key", [None, "nested"])
async def test_a_nested_run_is_refused(keyed: outlive.Cluster, key: str | None) -> None:
    """The two would be two transactions; what ran until then is rolled back."""

    async def outer(tx: outlive.Transaction) -> None:
        await insert(tx, 1)
        await keyed.run(insert, 2, key=key)

    with pytest.raises(outlive.ConfigurationError, match="inside a function"):
        await keyed.run(outer)
    assert await numbers(keyed) == []


async def test_a_task_that_outlives_its_function_may_run(keyed: outlive.Cluster) -> None:
    """Only what happens while the outer transaction is open is inside of it."""
    begun = asyncio.Event()

    async def later() -> None:
        await begun.wait()
        await keyed.run(insert, 2)

    async def outer(tx: outlive.Transaction) -> asyncio.Task[None]:
        await insert(tx, 1)
        return asyncio.create_task(later())

    task = await keyed.run(outer)
    begun.set()
    await task
    assert await numbers(keyed) == [1, 2]


async def test_without_the_tables_the_way_out_is_named(servers: Servers, keyed: outlive.Cluster) -> None:
    """Nothing is applied."""
    await keyed.execute("drop database if exists bare")
    await keyed.execute("create database bare")
    async with outlive.connect(servers.dsn(database="bare")) as bare:
        await bare.execute("create table entries (id bigint, body text)")
        for key in (outlive.new_key(), "mine"):
            with pytest.raises(outlive.SchemaError) as raised:
                await bare.run(insert, 1, key=key)
            assert raised.value.hint == "Run `outlive migrate`."
        assert await numbers(bare) == []
    await keyed.execute("drop database bare with (force)")


async def test_callbacks_follow_the_commit(keyed: outlive.Cluster) -> None:
    """In order, once, awaited; none after a roll-back."""
    called: list[object] = []

    async def callback() -> None:
        called.append(await numbers(keyed))

    async def fn(tx: outlive.Transaction, number: int) -> None:
        tx.after_commit(partial(called.append, number))
        tx.after_commit(callback)
        await insert(tx, number)
        if number == 2:
            raise LookupError

    await keyed.run(fn, 1)
    with pytest.raises(LookupError):
        await keyed.run(fn, 2)
    assert called == [1, [1]]


async def test_callbacks_follow_a_commit_that_was_lost_and_found(proxied: outlive.Cluster, proxy: FaultProxy) -> None:
    """The commit stands, its answer was lost, and the retry finds it: its callbacks are called once."""
    called: list[int] = []

    async def fn(tx: outlive.Transaction) -> None:
        tx.after_commit(lambda: called.append(1))
        await insert(tx, 1)

    proxy.cut_commit("after", times=1)
    await proxied.run(fn, key=outlive.new_key())
    assert called == [1]


@pytest.mark.parametrize(("where", "applied"), [("before", False), ("after", True)])
async def test_an_unknown_commit_with_a_key_can_be_resolved(
    proxied: outlive.Cluster, keyed: outlive.Cluster, proxy: FaultProxy, where: Where, applied: bool
) -> None:
    """The error of the loop form tells what became of it; asked twice it says the same, and a second loop is right."""
    key = outlive.new_key()
    proxy.cut_commit(where, times=1)
    with pytest.raises(outlive.CommitUnknownError) as raised:
        await _block(proxied, key)
    told = outlive.Outcome.APPLIED if applied else outlive.Outcome.NOT_APPLIED
    assert [await raised.value.resolve(), await raised.value.resolve()] == [told, told]
    assert await numbers(keyed) == [1] * applied
    assert await _block(proxied, key) is applied
    assert await numbers(keyed) == [1]


async def _block(db: outlive.Cluster, key: UUID) -> bool:
    """Whether it had been done before."""
    loop = db.transaction(key=key)
    async for tx in loop:
        async with tx:
            await insert(tx, 1)
    assert loop.receipt is not None
    return loop.receipt.replayed


async def test_an_unknown_commit_without_a_key_can_not_be_resolved(proxied: outlive.Cluster, proxy: FaultProxy) -> None:
    """It says so."""
    proxy.cut_commit("after", times=1)
    with pytest.raises(outlive.CommitUnknownError) as raised:
        await proxied.run(insert, 1)
    with pytest.raises(outlive.ConfigurationError, match="without a key"):
        await raised.value.resolve()


async def test_a_replay_waits_for_a_standby(keyed: outlive.Cluster, servers: Servers) -> None:
    """A commit whose wait was cancelled is seen on the primary, and not acknowledged before a standby has it."""
    key = outlive.new_key()
    for name in ("n2", "n3"):
        servers.freeze(name)
    try:
        first = asyncio.create_task(keyed.run(insert, 1, key=key))
        waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
        await until(lambda: _says(servers, waits, 1))
        waiting = await servers.sql("n1", "select pid from pg_stat_activity where wait_event = 'SyncRep'")
        assert await servers.sql("n1", f"select pg_cancel_backend({waiting})")
        await until(lambda: _says(servers, f"{waits} and pid <> {waiting}", 1))
        assert not (await asyncio.wait([first], timeout=0.3))[0]
    finally:
        for name in ("n2", "n3"):
            servers.thaw(name)
    assert await first == {"number": 1}
    assert await numbers(keyed) == [1]


async def _says(servers: Servers, question: str, answer: object) -> bool:
    return await servers.sql("n1", question) == answer


async def test_a_forgotten_key_is_refused(keyed: outlive.Cluster) -> None:
    """A UUIDv7 of a day that was dropped finds no place; nor does one of the future."""
    old = keys.new_key(datetime.now(UTC) - timedelta(days=5), 1)
    with pytest.raises(outlive.KeyExpiredError, match="forgotten"):
        await keyed.run(insert, 1, key=old)
    with pytest.raises(outlive.ConfigurationError, match="future"):
        await keyed.run(insert, 1, key=keys.new_key(datetime.now(UTC) + timedelta(days=30), 1))
    assert await numbers(keyed) == []


async def test_a_missing_day_is_made_when_a_key_needs_it(keyed: outlive.Cluster) -> None:
    """Nobody prepared it: the first key makes its partition, and is stored."""
    now = datetime.now(UTC)
    day = f"keys_{now:%Y%m%d}"
    await keyed.execute(f"drop table if exists outlive.{day}")
    await keyed.run(insert, 1, key=keys.new_key(now, 1))
    assert await numbers(keyed) == [1]
    assert await keyed.fetchval(f"select count(*) from outlive.{day}", read="strong") == 1


async def test_old_keys_are_dropped_by_the_day_and_others_by_age(keyed: outlive.Cluster) -> None:
    """What is younger stays; a dropped day never comes back."""
    today = datetime.now(UTC).date()
    old, fresh = f"old-{uuid4()}", f"fresh-{uuid4()}"
    await keyed.execute("update outlive.key_horizon set day = $1", today - timedelta(days=4))
    aged = keys.new_key(datetime.now(UTC) - timedelta(days=3), 5)
    for key in (aged, old, fresh):
        await keyed.run(insert, 1, key=key)
    await keyed.execute("update outlive.text_keys set made_at = now() - interval '25 hours' where key = $1", old)
    days, others = await keyed.expire_keys()
    assert days >= 1
    assert others >= 1
    left = "select key from outlive.text_keys where key = any($1)"
    assert [row["key"] for row in await keyed.fetch(left, [old, fresh], read="strong")] == [fresh]
    with pytest.raises(outlive.KeyExpiredError):
        await keyed.run(insert, 1, key=aged)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
async def test_what_is_quoted_is_what_arrives(keyed: outlive.Cluster, text: str) -> None:
    """Any text without a NUL is one constant of SQL, under either rule for backslashes."""
    async with keyed.connection() as connection:
        for conforming in ("on", "off"):
            await connection.execute(f"set standard_conforming_strings = {conforming}; set escape_string_warning = off")
            assert await connection.fetchval(f"select {quoted(text)} = $1 and true", text)
            await connection.execute(f"set outlive.probe = {quoted(text)}; select 1")
            assert await connection.fetchval("select current_setting('outlive.probe')") == text


def test_a_nul_is_never_quoted() -> None:
    """It would end the message early."""
    with pytest.raises(outlive.ConfigurationError, match="NUL"):
        quoted("a\0; drop table entries")


async def test_without_asyncio_it_is_the_same_request(keyed: outlive.Cluster, servers: Servers) -> None:
    """The synchronous client's function has the same name and arguments, so the other's result is replayed."""
    key = outlive.new_key()
    await keyed.run(insert, 5, key=key)

    def again() -> None:
        with outlive.sync.connect(servers.dsn()) as db:
            assert db.run(_synchronous_insert, 5, key=key) == {"number": 5}
            with pytest.raises(outlive.KeyReusedError):
                db.run(_synchronous_insert, 6, key=key)
            with pytest.raises(outlive.ConfigurationError, match="inside a function"):
                db.run(lambda _: db.run(_synchronous_insert, 6))  # type: ignore[misc]
            assert not db.batch([("insert into entries values ($1, 'x')", [7])], key=outlive.new_key()).replayed

    await asyncio.to_thread(again)
    assert await numbers(keyed) == [5, 7]


def _synchronous_insert(tx: outlive.sync.SyncTransaction, number: int) -> dict[str, int]:
    tx.execute("insert into entries values ($1, 'x')", number)
    return {"number": number}


_synchronous_insert.__qualname__ = insert.__qualname__

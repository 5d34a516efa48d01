"""Several statements in one transaction and one round trip."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Literal
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import outlive
from integration.client.servers import Servers
from outlive.client.plan.literals import literal
from outlive.testing import FaultProxy

INSERT = "insert into entries values ($1, $2)"


async def entries(db: outlive.Cluster) -> list[tuple[int, str]]:
    """What is there."""
    return [tuple(row) for row in await db.fetch("select id, body from entries order by id, body", read="strong")]


async def test_all_of_it_or_nothing(keyed: outlive.Cluster) -> None:
    """Each statement sees what those before it did; the caller's own error passes through and undoes them all."""
    receipt = await keyed.batch([(INSERT, [1, "a"]), "update entries set body = body || 'b'", (INSERT, (2, "c"))])
    assert (receipt.durability, receipt.attempts) == (outlive.Durability.CRITICAL, 1)
    assert receipt.synchronous_standbys
    with pytest.raises(asyncpg.DivisionByZeroError):
        await keyed.batch([(INSERT, [3, "d"]), ("insert into entries values (1 / $1::int, '')", [0])])
    assert await entries(keyed) == [(1, "ab"), (2, "c")]


@pytest.mark.parametrize("key", [None, "uuid", "text"])
async def test_one_round_trip(counted: outlive.Cluster, proxy: FaultProxy, key: str | None) -> None:
    """With class, fence and key, once the statements are known to the connection."""
    batch: list[str | tuple[str, list[object]]] = [
        (INSERT, [1, "a"]),
        (INSERT, [2, "b"]),
        ("delete from entries where id = $1", [1]),
    ]
    await counted.batch(batch)
    trips = []
    for _ in range(10):
        made = outlive.new_key() if key == "uuid" else str(uuid4()) if key else None
        before = proxy.round_trips
        await counted.batch(batch, key=made)
        trips.append(proxy.round_trips - before)
    assert min(trips) == 1  # the first key of a day has its place made


@pytest.mark.parametrize("key", ["uuid", "text"])
async def test_a_single_statement_with_its_key_takes_one_round_trip(
    counted: outlive.Cluster, keyed: outlive.Cluster, proxy: FaultProxy, key: str
) -> None:
    """The server runs both as one statement, whatever the arguments are."""
    await keyed.execute("drop table if exists spans; create table spans (id bigint, span interval)", idempotent=True)
    trips = []
    for number in range(10):
        made = outlive.new_key() if key == "uuid" else str(uuid4())
        before = proxy.round_trips
        await counted.batch([("insert into spans values ($1, $2)", [number, timedelta(hours=number)])], key=made)
        trips.append(proxy.round_trips - before)
    assert min(trips) == 1  # the first prepares
    assert await keyed.fetchval("select sum(span) from spans", read="strong") == timedelta(hours=45)
    await keyed.execute("drop table spans")


async def test_a_single_statement_under_cut_commits_is_applied_once(
    proxied: outlive.Cluster, keyed: outlive.Cluster, proxy: FaultProxy
) -> None:
    """A constraint of the table's own, which the repetition meets first, is not taken for the caller's error."""
    await keyed.execute("create unique index on entries (id)")
    proxy.cut_commit("before", probability=0.2)
    proxy.cut_commit("after", probability=0.25)
    receipts = [await proxied.batch([(INSERT, [n, "a"])], key=outlive.new_key()) for n in range(100)]
    assert await entries(keyed) == [(n, "a") for n in range(100)]
    assert {True, False} == {receipt.replayed for receipt in receipts}
    assert min(proxy.cuts["before"], proxy.cuts["after"]) > 3


async def test_a_single_statement_is_refused_for_its_own_faults(keyed: outlive.Cluster) -> None:
    """The caller's error passes through with nothing applied, and the key stays free."""
    key = outlive.new_key()
    with pytest.raises(outlive.ConfigurationError, match="takes 2 arguments, 1 were given"):
        await keyed.batch([(INSERT, [1])], key=key)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await keyed.batch([("insert into entries values (1 / $1::int, 'a')", [0])], key=key)
    assert not (await keyed.batch([(INSERT, [1, "a"])], key=key)).replayed
    assert await entries(keyed) == [(1, "a")]


async def test_batches_under_cut_commits_are_applied_once(
    proxied: outlive.Cluster, keyed: outlive.Cluster, proxy: FaultProxy
) -> None:
    """With a key, a lost answer is found out."""
    proxy.cut_commit("before", probability=0.2)
    proxy.cut_commit("after", probability=0.25)
    receipts = [
        await proxied.batch([(INSERT, [n, "a"]), (INSERT, [n, "b"])], key=outlive.new_key()) for n in range(100)
    ]
    assert await entries(keyed) == [(n, body) for n in range(100) for body in "ab"]
    assert {True, False} == {receipt.replayed for receipt in receipts}


async def test_a_batch_without_a_key_is_unknown_when_its_answer_is_lost(
    proxied: outlive.Cluster, proxy: FaultProxy
) -> None:
    """It is not repeated."""
    proxy.cut_commit("after", times=1)
    with pytest.raises(outlive.CommitUnknownError):
        await proxied.batch([(INSERT, [1, "a"])])


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_an_isolation_holds_on_a_new_connection_too(
    keyed: outlive.Cluster, servers: Servers, isolation: Literal["read_committed", "repeatable_read", "serializable"]
) -> None:
    """What the driver prepares before does not fix another one."""
    level = "insert into entries select 1, current_setting('transaction_isolation')"
    async with outlive.connect(servers.dsn()) as new:
        await new.batch([level], isolation=isolation)
    assert await entries(keyed) == [(1, isolation.replace("_", " "))]


async def test_a_key_is_one_batch(keyed: outlive.Cluster) -> None:
    """The same again is replayed, another one refused."""
    key = outlive.new_key()
    assert not (await keyed.batch([(INSERT, [1, "a"])], key=key)).replayed
    assert (await keyed.batch([(INSERT, [1, "a"])], key=key)).replayed
    with pytest.raises(outlive.KeyReusedError):
        await keyed.batch([(INSERT, [2, "a"])], key=key)
    assert await entries(keyed) == [(1, "a")]


async def test_what_has_no_constant_goes_statement_by_statement(keyed: outlive.Cluster) -> None:
    """It is exact all the same."""
    await keyed.execute(
        "drop table if exists spans; create table spans (span interval, parts int[][])", idempotent=True
    )
    await keyed.batch([("insert into spans values ($1, $2)", [timedelta(days=-1, seconds=7), [[1, 2], [3, 4]]])])
    row = await keyed.fetchrow("select * from spans", read="strong")
    assert row is not None
    assert (row["span"], row["parts"]) == (timedelta(days=-1, seconds=7), [[1, 2], [3, 4]])
    await keyed.execute("drop table spans")


@pytest.mark.parametrize("bad", [[], ["commit"], [("select 1",)], [5], [(INSERT, "ab")], [(INSERT, [1])]])
async def test_a_wrong_batch_is_refused(keyed: outlive.Cluster, bad: list[object]) -> None:
    """Before anything is written."""
    with pytest.raises(outlive.ConfigurationError):
        await keyed.batch(bad)  # type: ignore[arg-type]


async def test_statements_that_were_deallocated_are_prepared_again(keyed: outlive.Cluster) -> None:
    """A connection's user may have dropped them."""
    await keyed.batch([(INSERT, [1, "a"])])
    async with keyed.connection() as connection:
        await connection.execute("deallocate all")
    await keyed.batch([(INSERT, [2, "b"])])
    assert await entries(keyed) == [(1, "a"), (2, "b")]


_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
_ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_SCALARS: dict[str, st.SearchStrategy[object]] = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "float8": st.floats(allow_nan=False),
    "numeric": st.decimals(allow_nan=False, allow_infinity=False, places=6) | st.integers() | st.just(Decimal("1E+5")),
    "text": _TEXT,
    "varchar": _TEXT,
    "bytea": st.binary(max_size=50),
    "uuid": st.uuids(),
    "date": st.dates(),
    "timestamp": st.datetimes(),
    "timestamptz": st.datetimes(timezones=_ZONES, min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),  # noqa: DTZ001
}
_CASES = st.sampled_from(sorted(_SCALARS)).flatmap(
    lambda name: (
        st.tuples(st.just(name), _SCALARS[name])
        | st.tuples(st.just(f"{name}[]"), st.lists(st.none() | _SCALARS[name], max_size=4))
    )
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(case=_CASES)
async def test_a_constant_is_the_very_value_the_driver_would_send(
    keyed: outlive.Cluster, case: tuple[str, object]
) -> None:
    """Compared on the server in its binary form, for every type that has constants, under odd settings too."""
    type_name, value = case
    constant = literal(value, type_name)
    assert constant is not None
    send = "array_send" if type_name.endswith("[]") else _SEND.get(type_name, f"{type_name}send")
    async with keyed.connection() as connection:
        await connection.execute("set datestyle = 'sql, dmy'; set timezone = 'Asia/Kathmandu'")
        query = f"select {send}({constant}::{type_name}) = {send}($1::{type_name})"
        assert await connection.fetchval(query, value), (constant, value)


_SEND = {
    "numeric": "numeric_send",
    "uuid": "uuid_send",
    "date": "date_send",
    "timestamp": "timestamp_send",
    "timestamptz": "timestamptz_send",
}


def test_what_is_not_surely_exact_has_no_constant() -> None:
    """It goes the driver's way."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    for value, name in (
        (True, "int4"), (1, "bool"), (1, "float8"), (0.1, "numeric"), (Decimal("NaN"), "numeric"), (5, "text"),
        (naive, "timestamptz"), (naive.replace(tzinfo=UTC), "timestamp"), (naive, "date"), (date.max, "timestamp"),
        (str(UUID(int=0)), "uuid"), (timedelta(1), "interval"), (1.5, "float4"), ([[1]], "int4[]"), ("a\0b", "text"),
        ("x", "mood"), ("\ud800", "text"),
    ):  # fmt: skip
        assert literal(value, name) is None, (value, name)

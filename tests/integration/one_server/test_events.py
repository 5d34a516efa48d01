"""Events are kept in days, in batches, and none is lost in silence."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

import outlive
from integration.client.servers import Servers
from integration.client.waiting import until
from outlive.errors import ConfigurationError, UnstorableError
from outlive.stores import AgentState, BufferLimits

NOW = datetime.now(UTC)
LIMIT_S = 60.0


async def _partitions(superuser: asyncpg.Connection) -> dict[str, int]:
    """The partitions that hold events, and how many."""
    rows = await superuser.fetch("select tableoid::regclass::text as name, count(*) from outlive.events group by 1")
    return {row["name"].removeprefix("outlive."): row["count"] for row in rows}


async def test_an_event_that_is_sent_twice_is_kept_once(state: AgentState) -> None:
    """A batch whose answer was lost may be sent again."""
    events = [state.events.new("twice", {"n": n}) for n in range(3)]
    assert await state.events.append(events) == 3
    assert await state.events.append(events) == 0
    assert (await state.events.count())["twice"] == 3
    assert await state.events.append([]) == 0


async def test_events_are_read_by_kind_subject_and_time(state: AgentState) -> None:
    """The latest first, page by page, from a moment on and before another."""
    made = [state.events.new("step", {"n": n}, subject=f"s{n % 2}", at=NOW + timedelta(seconds=n)) for n in range(6)]
    await state.events.append([*made, state.events.new("other", at=NOW)])
    assert [event.attributes["n"] for event in await state.events.read(kind="step")] == [5, 4, 3, 2, 1, 0]
    assert [event.attributes["n"] for event in await state.events.read(kind="step", subject="s1")] == [5, 3, 1]
    first = await state.events.read(kind="step", limit=2)
    rest = await state.events.read(kind="step", before=first[-1])
    assert [event.attributes["n"] for event in rest] == [3, 2, 1, 0]
    since, until_ = NOW + timedelta(seconds=1), NOW + timedelta(seconds=3)
    within = await state.events.read(kind="step", since=since, until=until_)
    assert [event.attributes["n"] for event in within] == [2, 1]
    assert (await state.events.count(since=since, until=until_))["step"] == 2


async def test_counts_over_time_begin_with_the_span(state: AgentState) -> None:
    """Each slice has the count of each kind in it."""
    await state.events.append([state.events.new("beat", at=NOW + timedelta(seconds=s)) for s in (0, 1, 10, 25)])
    counts = await state.events.count_over_time(10, since=NOW, until=NOW + timedelta(seconds=30), kind="beat")
    assert [(round((c.begins_at - NOW).total_seconds()), c.number) for c in counts] == [(0, 2), (10, 1), (20, 1)]


async def test_the_first_event_of_a_day_makes_its_partition(state: AgentState, superuser: asyncpg.Connection) -> None:
    """Maintenance may be late: today's events lie in today's partition, those far away in the default one."""
    await superuser.execute("truncate outlive.events")
    days = (timedelta(), timedelta(days=-3), timedelta(days=300), timedelta(days=-300))
    await state.events.append([state.events.new("far", at=NOW + day) for day in days])
    assert await _partitions(superuser) == {
        f"events_{NOW:%Y%m%d}": 1,
        f"events_{NOW - timedelta(days=3):%Y%m%d}": 1,
        "events_default": 2,
    }


async def test_a_day_takes_its_events_out_of_the_default_partition(
    state: AgentState, superuser: asyncpg.Connection
) -> None:
    """What came while its partition could not be made moves into it."""
    await superuser.execute("truncate outlive.events")
    day = NOW + timedelta(days=5)
    await superuser.execute(f"drop table if exists outlive.events_{day:%Y%m%d}")
    event = state.events.new("early", at=day)
    columns = (event.id, event.at, event.kind, "{}")
    await superuser.execute("insert into outlive.events (id, at, kind, attributes) values ($1, $2, $3, $4)", *columns)
    assert await _partitions(superuser) == {"events_default": 1}
    await state.events.maintain()
    assert await _partitions(superuser) == {f"events_{day:%Y%m%d}": 1}


async def test_a_partition_that_can_t_be_made_costs_no_event(state: AgentState, superuser: asyncpg.Connection) -> None:
    """Somebody who holds the table up makes the event lie in the default partition."""
    day = NOW + timedelta(days=9)
    async with superuser.transaction():
        await superuser.execute("lock table outlive.events in row exclusive mode")
        await superuser.execute("lock table outlive.events_default in share mode")
        await superuser.execute("select pg_advisory_xact_lock(hashtextextended('outlive.events', 0))")
        appended = asyncio.create_task(state.events.append([state.events.new("held up", at=day)]))
        # Not pg_stat_activity: within a transaction it shows no session that has come since it was first looked at.
        await until(lambda: _is_true(superuser, "select count(*) > 0 from pg_locks where not granted and relation = 'outlive.events_default'::regclass"), LIMIT_S)  # fmt: skip  # noqa: E501
    assert await appended == 1
    assert (await _partitions(superuser))["events_default"] >= 1


async def _is_true(connection: asyncpg.Connection, question: str) -> bool:
    return await connection.fetchval(question) is True


async def test_retention_drops_whole_days_and_nothing_younger(state: AgentState, superuser: asyncpg.Connection) -> None:
    """A day goes once its last moment is old enough; maintenance said twice does nothing the second time."""
    await superuser.execute("truncate outlive.events")
    ages = (0, 1, 2, 4, 6, 400)
    await state.events.append([state.events.new("aged", age, at=NOW - timedelta(days=age)) for age in ages])
    done = await state.events.maintain(retention_days=3)
    assert done.days_dropped >= 2
    assert done.events_deleted == 1
    assert [event.attributes for event in await state.events.read(kind="aged")] == [0, 1, 2]
    again = await state.events.maintain(retention_days=3)
    assert (again.days_made, again.days_dropped, again.events_deleted) == (0, 0, 0)


async def test_a_buffer_writes_when_a_batch_is_full_and_when_an_event_is_old(state: AgentState) -> None:
    """Size and age each are enough; nobody has to flush."""
    async with state.events.buffer(BufferLimits(batch=3, max_age_s=3600)) as full:
        for n in range(3):
            full.record("full", n)
        await until(lambda: full.counts.written == 3, LIMIT_S)
    async with state.events.buffer(BufferLimits(batch=100, max_age_s=0.01)) as old:
        old.record("old")
        await until(lambda: old.counts.written == 1, LIMIT_S)
    assert len(await state.events.read(kind="full")) == 3


async def test_leaving_the_block_writes_what_waits(state: AgentState) -> None:
    """A program that ends loses none of its events, however many batches they are."""
    async with state.events.buffer(BufferLimits(batch=7, max_age_s=60)) as buffer:
        for n in range(50):
            assert buffer.record("last words", n)
        counts = await buffer.flush()
        assert (counts.written, counts.waiting) == (50, 0)
        buffer.record("last words", 50)
    assert buffer.counts.written == len(await state.events.read(kind="last words")) == 51
    await buffer.close()
    with pytest.raises(ConfigurationError, match="not open"):
        buffer.record("too late")


async def test_a_full_buffer_drops_and_says_so(state: AgentState, caplog: pytest.LogCaptureFixture) -> None:
    """The event that finds no room is counted, told to the hook, and warned of once."""
    told: list[int] = []
    with caplog.at_level(logging.WARNING, "outlive.events"):
        async with state.events.buffer(BufferLimits(max_waiting=5, batch=100, max_age_s=60), on_drop=told.append) as b:
            assert [b.record("crowd", n) for n in range(7)] == [True] * 5 + [False] * 2
            assert (b.counts.dropped, b.counts.waiting, told) == (2, 5, [1, 1])
    assert b.counts.recorded == b.counts.written + b.counts.dropped == 7
    assert [record.message for record in caplog.records] == ["events are dropped: the buffer is full"]


async def test_events_wait_while_the_database_is_away(server: Servers, database: str) -> None:
    """What the database did not take is tried again, and is there once it is back."""
    limits = BufferLimits(batch=1, max_age_s=0.01, flush_timeout_s=0.5)
    async with outlive.connect(database, degraded="allow") as db, AgentState(db).events.buffer(limits) as buffer:
        await asyncio.to_thread(server.stop, "n1", "fast")
        try:
            buffer.record("patient")
            with pytest.raises(outlive.OutliveError):
                await buffer.flush()
            assert buffer.counts.waiting == 1
        finally:
            await asyncio.to_thread(server.start, "n1")
        await until(lambda: buffer.counts.written == 1, LIMIT_S)


async def test_what_can_t_be_written_at_the_end_is_counted(server: Servers, database: str) -> None:
    """Closing with the database away ends in time, and says how many events were given up."""
    told: list[int] = []
    limits = BufferLimits(batch=100, max_age_s=60, flush_timeout_s=0.3)
    async with outlive.connect(database, degraded="allow") as db:
        buffer = AgentState(db).events.buffer(limits, on_drop=told.append)
        try:
            async with buffer:
                buffer.record("given up")
                buffer.record("given up")
                await asyncio.to_thread(server.stop, "n1", "fast")
        finally:
            await asyncio.to_thread(server.start, "n1")
    assert (buffer.counts.dropped, buffer.counts.waiting, told) == (2, 0, [2])


async def test_bad_events_are_refused_where_they_are_made(state: AgentState) -> None:
    """No kind, no time zone, no JSON: the caller hears it, and the buffer does not fill with them."""
    async with state.events.buffer() as buffer:
        for kind, attributes, at in (("", 1, None), ("k", {1: 2}, None), ("k", 1, datetime(2026, 1, 1))):  # noqa: DTZ001
            with pytest.raises(UnstorableError):
                buffer.record(kind, attributes, at=at)
    assert buffer.counts.recorded == 0
    with pytest.raises(ConfigurationError, match="batch"):
        state.events.buffer(BufferLimits(batch=0))


async def test_the_command_counts_and_drops(state: AgentState, database: str) -> None:
    """What was counted within a time, and what was too old to be kept."""
    old = datetime.now(UTC) - timedelta(days=100)
    await state.events.append([state.events.new("asked for"), state.events.new("asked for", at=old)])

    async def outlive_state(*arguments: str) -> dict[str, int]:
        line = [sys.executable, "-m", "outlive.cli.main", "state", "events", *arguments, "--dsn", database, "--json"]
        done = await asyncio.to_thread(subprocess.run, line, capture_output=True, timeout=300, check=True)
        return dict(json.loads(done.stdout))

    assert (await outlive_state("count", "--since", "1h"))["asked for"] == 1
    assert (await outlive_state("count", "--since", "200d"))["asked for"] == 2
    assert (await outlive_state("maintain", "--keep", "90d"))["events_deleted"] == 1
    assert (await state.events.count())["asked for"] == 1

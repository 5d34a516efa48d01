"""A standby that hasn't heard of a failover is not fed the WAL that the old primary wrote after it."""

from __future__ import annotations

import asyncio
import json

import pytest

from integration.backup.archiving import Archiving
from integration.client.servers import Servers
from integration.client.waiting import until

LIMIT_S = 240.0
LEFT = 3
"""Segments that the old primary finishes on its own."""


@pytest.fixture
def three(archiving: Archiving) -> Archiving:
    """The server, a standby that runs, and one that was copied and not started; an archiver beside each."""
    servers = archiving.servers
    for name in ("n2", "n3"):
        servers.copy(name)
        servers.follow(name, "n1")
        with (servers.root / name / "postgresql.auto.conf").open("a") as settings:
            for key, value in archiving.settings(name).items():
                settings.write(f"{key} = '{value}'\n")
    servers.start("n3")
    archiving.start("n3")
    return archiving


async def test_a_standby_is_fed_what_the_new_primary_wrote(three: Archiving) -> None:
    """It follows the new primary without a rewind, and has no row that only the old one ever had."""
    servers = three.servers
    await write(servers, "n1", "before")
    await three.wait_for(await three.switch())
    # With the whole segment: otherwise the new timeline would begin within it, and "before" lie in the new one's.
    end = str(await servers.sql("n1", "select pg_current_wal_lsn()::text"))
    await until(lambda: replayed(servers, "n3", end), LIMIT_S)
    assert await has(servers, "n3", ["before"])
    await asyncio.to_thread(servers.promote, "n3")
    await write(servers, "n3", "new")
    after_it = await three.switch("n3")
    await three.wait_for(after_it)
    for _ in range(LEFT):
        await write(servers, "n1", "left")
        await three.wait_for(await three.switch())
    three.kill("n1")
    await asyncio.to_thread(servers.stop, "n1")
    await asyncio.to_thread(servers.start, "n2")
    three.start("n2")
    await until(lambda: any(same_place(name, after_it) for name in brought(three)), LIMIT_S)
    assert {name for name in brought(three) if same_place(name, after_it)} == {after_it}
    await until(lambda: has(servers, "n2", ["before"]), LIMIT_S)
    await servers.follow_live("n2", "n3")
    await until(lambda: has(servers, "n2", ["before", "new"]), LIMIT_S)


async def replayed(servers: Servers, name: str, end: str) -> bool:
    """Whether the standby has replayed all WAL up to there."""
    return await servers.sql(name, f"select pg_last_wal_replay_lsn() >= '{end}'") is True


def brought(archiving: Archiving) -> list[str]:
    """The segments that were laid down for the standby, in order."""
    whole_lines = archiving.log("n2").rpartition("\n")[0].splitlines()
    told = map(json.loads, whole_lines)
    return [line["file"] for line in told if line["event"] == "segment-brought-back"]


def same_place(one: str, other: str) -> bool:
    """Whether two segments stand for the same bytes of WAL, whatever their timeline."""
    return one[8:] == other[8:]


async def write(servers: Servers, name: str, row: str) -> None:
    """Add a row to the table `told`, which is made if it isn't there."""
    await servers.sql(
        name, "create table if not exists told (row text)", f"insert into told values ('{row}')", "select 1"
    )


async def has(servers: Servers, name: str, rows: list[str]) -> bool:
    """Whether the table has just these rows; there may be none yet."""
    there = await servers.sql(name, "select to_regclass('told') is not null")
    return bool(there) and await servers.sql(name, "select array_agg(row order by row) from told") == rows

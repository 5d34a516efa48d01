"""A standby whose primary has removed the WAL that it needs catches up out of the store."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg
import pytest

from integration.backup.archiving import Archiving
from integration.client.servers import Servers
from integration.client.waiting import until

LIMIT_S = 240.0
SEGMENTS = 7


@pytest.fixture
def pair(archiving: Archiving) -> Iterator[Archiving]:
    """A standby beside the server, with an archiver of its own."""
    servers = archiving.servers
    servers.copy("n2")
    servers.follow("n2", "n1")
    with (servers.root / "n2" / "postgresql.auto.conf").open("a") as settings:
        for key, value in archiving.settings("n2").items():
            settings.write(f"{key} = '{value}'\n")
    servers.start("n2")
    archiving.start("n2")
    try:
        yield archiving
    finally:
        archiving.kill("n2")
        servers.stop("n2")


async def test_a_standby_whose_wal_was_removed(pair: Archiving) -> None:
    """Away while its primary goes on and removes WAL, it gets what it lacks from the store, and streams again."""
    servers = pair.servers
    await until(lambda: streams(servers), LIMIT_S)
    await servers.sql("n1", "create table if not exists while_away (x text)", "select 1")
    servers.freeze("n2")
    terminate = "select pg_terminate_backend(pid) from pg_stat_replication"
    await servers.configure("n1", wal_keep_size="0")
    names = []
    for _ in range(SEGMENTS):
        await servers.sql("n1", "insert into while_away values ('there')", "select 1")
        names.append(await pair.switch())
    for name in names:
        await pair.wait_for(name)
    await servers.sql("n1", terminate, "select 1")
    await until(lambda: removed(servers, names), LIMIT_S)
    servers.thaw("n2")
    await until(lambda: caught_up(servers), LIMIT_S)
    # Whether the standby asked its primary in between is chance: its archiver may have been quicker.
    assert "segment-brought-back" in pair.log("n2")
    await until(lambda: streams(servers), LIMIT_S)
    await servers.configure("n1", wal_keep_size="256")


async def streams(servers: Servers) -> bool:
    """Whether the standby streams."""
    return await servers.sql("n1", "select count(*) from pg_stat_replication where state = 'streaming'") == 1


async def removed(servers: Servers, names: list[str]) -> bool:
    """Whether the primary has removed those segments, which a checkpoint does with those that it heard are archived."""
    await servers.sql("n1", "checkpoint", "select 1")
    return not any((servers.root / "n1" / "pg_wal" / name).exists() for name in names)


async def caught_up(servers: Servers) -> bool:
    """Whether the standby has every row."""
    try:
        return await servers.sql("n2", "select count(*) from while_away") == SEGMENTS
    except asyncpg.UndefinedTableError:
        return False

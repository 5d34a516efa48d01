"""The schema comes to be once, whoever asks, and is never taken for another one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import outlive
from integration.conftest import RunningCluster
from outlive.errors import SchemaError
from outlive.stores import AgentState, migrate
from outlive.stores.queries import known_migrations

NAMES = tuple(f"{migration.version:04d}_{migration.name}" for migration in known_migrations())


@pytest.fixture
async def db(cluster: RunningCluster) -> AsyncIterator[outlive.Cluster]:
    """A client of a database without the schema; it is there again afterwards."""
    async with outlive.connect(cluster.dsn) as client:
        await client.execute("DROP SCHEMA IF EXISTS outlive CASCADE", idempotent=True)
        yield client
        await client.execute("DROP SCHEMA IF EXISTS outlive CASCADE", idempotent=True)
        await migrate(client)


async def test_from_nothing_to_the_newest_and_then_nothing_to_do(db: outlive.Cluster) -> None:
    """Every migration is applied once and recorded."""
    assert (await migrate(db)).applied == NAMES
    again = await migrate(db)
    assert (again.version, again.applied) == (len(NAMES), ())


async def test_many_programs_may_migrate_at_once(db: outlive.Cluster, cluster: RunningCluster) -> None:
    """One of them does the work, the others find it done."""
    reports = await asyncio.gather(*(migrate(cluster.dsn) for _ in range(4)))
    assert sorted(report.applied for report in reports) == [(), (), (), NAMES]
    await AgentState(db).conversations.open("after-the-race", worker="alice")


async def test_without_the_schema_the_way_out_is_named(db: outlive.Cluster) -> None:
    """Whoever forgot to migrate is told so."""
    with pytest.raises(SchemaError, match="schema `outlive`") as caught:
        await AgentState(db).conversations.open("too-early", worker="alice")
    assert caught.value.hint == "Run `outlive migrate`."


async def test_a_newer_schema_is_refused_and_left_alone(db: outlive.Cluster) -> None:
    """This code might write the newer tables wrongly."""
    await migrate(db)
    await db.execute("INSERT INTO outlive.migrations VALUES ($1, 'future', 'x')", len(NAMES) + 1)
    with pytest.raises(SchemaError, match=f"at version {len(NAMES) + 1}, this code knows {len(NAMES)}"):
        await migrate(db)


async def test_an_altered_migration_is_refused(db: outlive.Cluster) -> None:
    """The tables are not those that the code's text describes."""
    await migrate(db)
    await db.execute("UPDATE outlive.migrations SET checksum = 'x' WHERE version = 1")
    with pytest.raises(SchemaError, match=f"{NAMES[0]} was applied with another text"):
        await migrate(db)


async def test_a_schema_from_before_the_first_release_is_refused(db: outlive.Cluster, cluster: RunningCluster) -> None:
    """Its record is longer, and of other migrations: the command says how its conversations come over."""
    await migrate(db)
    await db.execute("DELETE FROM outlive.migrations")
    await db.execute(
        "INSERT INTO outlive.migrations (version, name, checksum) "
        "SELECT n, CASE n WHEN 1 THEN 'conversations' ELSE 'earlier' || n END, 'x' FROM generate_series(1, $1) AS n",
        len(NAMES) + 2,
    )
    refused = await asyncio.to_thread(run_migrate, "--dsn", cluster.dsn)
    assert refused.returncode not in (0, 2)
    assert "comes from a version before the first release" in refused.stderr
    assert "outlive state export --all" in refused.stderr
    assert await db.fetchval("SELECT count(*) FROM outlive.migrations", read="strong") == len(NAMES) + 2


async def test_the_command_says_what_it_did(db: outlive.Cluster, cluster: RunningCluster) -> None:
    """For a person and for a program; a wrong DSN is a sentence and its own exit code."""
    assert await db.fetchval("SELECT to_regnamespace('outlive')", read="strong") is None
    first = await asyncio.to_thread(run_migrate, "--dsn", cluster.dsn, "--json")
    made = {"version": len(NAMES), "applied": list(NAMES), "roles": [], "separated": 0}
    assert json.loads(first.stdout) == made
    second = await asyncio.to_thread(run_migrate, "--dsn", cluster.dsn)
    assert second.stdout == f"The schema outlive is at version {len(NAMES)}: nothing to do.\n"
    wrong = await asyncio.to_thread(run_migrate, "--dsn", "nonsense")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def run_migrate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    command = [str(Path(sys.executable).with_name("outlive")), "migrate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

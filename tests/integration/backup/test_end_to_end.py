"""By the commands alone: a server that archives to S3, encrypted, is backed up, restored to moments, and verified."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.backup.estate import Estate, an_estate
from integration.backup.one_server import OLD
from outlive.postgres import programs
from outlive.testing.object_store import SeaweedFS
from require import require


@pytest.fixture(scope="module", params=["18", "15"])
def estate(request: pytest.FixtureRequest, s3: SeaweedFS) -> Iterator[Estate]:
    """One with PostgreSQL 18, then one with Debian's 15."""
    if request.param == "15":
        require("postgresql-15", OLD.is_dir(), f"{OLD} is not there")
    release = OLD if request.param == "15" else programs.directory(None)
    with an_estate(s3, release, f"end-to-end-{request.param}") as made:
        yield made


async def test_from_the_first_backup_to_a_verified_server(estate: Estate) -> None:
    """A full backup, an incremental where there are any, and WAL: any moment comes back, and the backup is verified."""
    new = programs.major_version(estate.programs) >= 17
    here = ("--postgres-bin", estate.programs)
    create = ("backup", "create", "--dsn", estate.dsn, "--from", "primary", *here)
    if new:
        await estate.servers.configure("n1", summarize_wal="on")
    first = await estate.written("create table entries as select 1 as number")
    full = await estate.told(*create, "--type", "full")
    await estate.written("insert into entries values (2)")
    second = await estate.told(*create, "--type", "incremental", "--or-fail") if new else full
    third = await estate.written("insert into entries values (3)")
    await estate.written("insert into entries values (4)")
    await estate.arrived(await estate.written("delete from entries where number = 1"))

    into = estate.room / "moment"
    moment = ("restore", "--into", into, "--to-time", third.isoformat(), *here)
    restored = await estate.told(*moment, "--verify", "--start")
    assert restored["chain"] == list(dict.fromkeys([full["id"], second["id"]]))
    assert await estate.numbers(restored["port"]) == [1, 2, 3]
    assert "is running in" in await estate.outlive(*moment, "--replace", into, status=2)
    await estate.stopped(into)

    newest = await estate.told("restore", "--into", estate.room / "newest", *here, "--start")
    assert await estate.numbers(newest["port"]) == [2, 3, 4]
    await estate.stopped(estate.room / "newest")
    too_early = ("restore", "--into", estate.room / "early", "--to-time", first.isoformat(), *here)
    assert "is before backup" in await estate.outlive(*too_early, status=9)
    assert not (estate.room / "early").exists()
    evidence = await estate.told("backup", "verify", "latest", *here)
    assert (evidence["status"], evidence["backup"], evidence["complaints"]) == ("verified", second["id"], [])

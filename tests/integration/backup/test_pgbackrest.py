"""pgBackRest as the engine: the program itself, on PostgreSQL 15."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integration.backup.pgbackrest_stanza import PROGRAMS, STANZA, Stanza, present
from outlive.backup.engine import Kind
from outlive.backup.pgbackrest import PgBackRest
from outlive.backup.plan.targets import Latest, TimeTarget
from outlive.backup.proving import engine_test
from outlive.backup.restoring.material import Tools
from outlive.errors import BackupError, ConfigurationError
from require import require


@pytest.fixture(scope="module")
def stanza() -> Iterator[Stanza]:
    """A server with a full backup and an incremental one, and rows before, between and after."""
    require("pgbackrest", present(), "pgbackrest or postgresql-15 is not installed")
    with tempfile.TemporaryDirectory(prefix="outlive-br-", ignore_cleanup_errors=True) as scratch:
        made = Stanza(Path(scratch))
        try:
            made.start()
            yield made
        finally:
            made.destroy()


async def test_what_it_made_comes_back_as_it_was(stanza: Stanza) -> None:
    """Full and incremental backups are listed as they are; a restore to a moment holds what came before, no more."""
    said: list[str] = []
    stanza.sql("create table steps as select 1 as step")
    full = await stanza.engine.create(Kind.FULL, said.append)
    stanza.sql("insert into steps values (2)")
    incremental = await stanza.engine.create(Kind.INCREMENTAL, said.append)
    stanza.sql("insert into steps values (3)")
    moment = datetime.fromisoformat(stanza.sql("select now()"))
    stanza.sql("insert into steps values (4); select pg_switch_wal()")

    listed = await stanza.engine.backups()
    assert [(each.kind, each.parent) for each in listed] == [(Kind.FULL, None), (Kind.INCREMENTAL, full.id)]
    assert listed == (full, incremental)
    assert full.started_at <= full.finished_at <= datetime.now(UTC)
    assert full.start < full.end < incremental.end
    assert said == [
        "pgBackRest makes a backup (full) of the stanza agents",
        "pgBackRest makes a backup (incremental) of the stanza agents",
    ]

    proven = await engine_test.run(stanza.engine, trial())
    assert proven.findings.complaints == []
    assert proven.verified
    assert proven.findings.rows > 0
    assert {"amcheck", "page_checksums", "any_row"} <= set(proven.findings.checks)
    told = command(stanza, "list", "--json")
    assert [each["id"] for each in json.loads(told.stdout)] == [full.id, incremental.id]

    stanza.stop_in(stanza.root / "data")
    restored = stanza.root / "restored"
    assert await stanza.engine.restore(None, TimeTarget(moment), restored) in listed
    stanza.start_in(restored)
    assert stanza.sql("select string_agg(step::text, ',' order by step) from steps") == "1,2,3"
    assert stanza.sql("show archive_mode") == "off"
    stanza.stop_in(restored)

    with pytest.raises(ConfigurationError, match="is not empty"):
        await stanza.engine.restore(None, Latest(), restored)
    with pytest.raises(ConfigurationError, match="no backup 19700101-000000F"):
        await stanza.engine.restore("19700101-000000F", Latest(), stanza.root / "elsewhere")
    with pytest.raises(BackupError, match=r"(?s)pgBackRest ended with 56: .*unable to find primary"):
        await stanza.engine.create(Kind.FULL, said.append)  # its server is down


async def test_a_damaged_repository_is_not_verified(stanza: Stanza) -> None:
    """A byte of a table that was flipped in the repository fails the restore test, and the command ends with 9."""
    stored = max(
        (stanza.root / "repository" / "backup").rglob("pg_data/base/*/*.gz"), key=lambda file: file.stat().st_size
    )
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 0x10
    stored.write_bytes(content)
    broken = await engine_test.run(stanza.engine, trial())
    assert not broken.verified
    assert broken.findings.complaints
    done = command(stanza, "verify", "--json")
    assert done.returncode == 9, done.stderr
    assert json.loads(done.stdout)["verified"] is False


def trial() -> engine_test.EngineTrial:
    """A restore test of the newest backup."""
    tools = Tools(programs=PROGRAMS, major=15, scratch=True)
    return engine_test.EngineTrial(Latest(), tools)


def command(stanza: Stanza, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`outlive pgbackrest` as a person runs it."""
    options = ["--stanza", STANZA, "--config", str(stanza.engine.config), "--postgres-bin", str(PROGRAMS)]
    line = [sys.executable, "-m", "outlive.cli.main", "pgbackrest", *arguments, *options]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


async def test_what_is_not_there_is_named(stanza: Stanza) -> None:
    """An unknown stanza, a missing program and a missing configuration are told before anything is done."""
    engine = stanza.engine
    with pytest.raises(ConfigurationError, match="no stanza 'nobody'"):
        await PgBackRest("nobody", engine.config, run_as=engine.run_as).backups()
    with pytest.raises(ConfigurationError, match="the program pgbackrust is not installed"):
        PgBackRest("agents", engine.config, program="pgbackrust").check()
    with pytest.raises(ConfigurationError, match=r"absent\.conf is not there"):
        PgBackRest("agents", stanza.root / "absent.conf").check()

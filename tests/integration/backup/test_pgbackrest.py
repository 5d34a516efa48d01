"""pgBackRest as the engine: the program itself, on PostgreSQL 15."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integration.backup.pgbackrest_stanza import Stanza, present
from outlive.backup.engine import Kind
from outlive.backup.pgbackrest import PgBackRest
from outlive.backup.plan.targets import Latest, TimeTarget
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


async def test_what_is_not_there_is_named(stanza: Stanza) -> None:
    """An unknown stanza, a missing program and a missing configuration are told before anything is done."""
    engine = stanza.engine
    with pytest.raises(ConfigurationError, match="no stanza 'nobody'"):
        await PgBackRest("nobody", engine.config, run_as=engine.run_as).backups()
    with pytest.raises(ConfigurationError, match="the program pgbackrust is not installed"):
        PgBackRest("agents", engine.config, program="pgbackrust").check()
    with pytest.raises(ConfigurationError, match=r"absent\.conf is not there"):
        PgBackRest("agents", stanza.root / "absent.conf").check()

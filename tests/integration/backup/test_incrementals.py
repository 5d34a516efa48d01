"""Incremental backups in a row, each after changes of another kind: what comes back is every row."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from integration.backup.one_server import OneServer, newest
from outlive.backup.codec import Codec
from outlive.backup.layout import Kind
from outlive.backup.observation import observe
from outlive.backup.plan.recovery import Wish
from outlive.backup.plan.source import Wanted
from outlive.backup.plan.targets import BackupEnd
from outlive.backup.restoring.restore import restore
from outlive.backup.restoring.server import PrivateServer
from outlive.backup.taking.create import create
from outlive.backup.taking.request import Request
from outlive.object_storage.opening import open_store
from outlive.object_storage.store import ObjectStore
from outlive.postgres import programs

pytestmark = newest
ROWS = "SELECT g AS id, repeat(md5(g::text), 5) AS body FROM generate_series({}, {}) g"
MADE = (
    "DROP SCHEMA IF EXISTS changing CASCADE", "CREATE SCHEMA changing",
    f"CREATE TABLE changing.turns AS {ROWS.format(1, 8000)}", "CREATE INDEX ON changing.turns (id)",
    f"CREATE TABLE changing.short AS {ROWS.format(1, 2000)}",
)  # fmt: skip
CHANGES: dict[str, Sequence[str]] = {
    "appended": (f"INSERT INTO changing.turns {ROWS.format(8001, 8100)}",),
    "scattered": ("UPDATE changing.turns SET body = md5(body) WHERE id % 97 = 0",),
    "shortened": ("DELETE FROM changing.short WHERE id > 500", "VACUUM changing.short"),
    "emptied": ("TRUNCATE changing.short", f"INSERT INTO changing.short {ROWS.format(1, 300)}"),
    "rewritten": ("VACUUM FULL changing.turns", "DELETE FROM changing.turns WHERE id % 50 = 0"),
    "exchanged": ("DROP TABLE changing.short", f"CREATE TABLE changing.short AS {ROWS.format(1, 700)}"),
}
ALL = """
SELECT string_agg(name || ' ' || found, ', ' ORDER BY name) FROM (
    SELECT 'turns' AS name, count(*) || ':' || sum(hashtextextended(t::text, 0)) AS found FROM changing.turns t
    UNION ALL SELECT 'short', count(*) || ':' || sum(hashtextextended(s::text, 0)) FROM changing.short s) each
"""


@pytest.fixture
async def changing(server: OneServer) -> AsyncIterator[OneServer]:
    """The pair, with two tables in the schema `changing`."""
    await server.sql(*MADE, "SELECT 1")
    yield server
    await server.sql("DROP SCHEMA changing CASCADE", "SELECT 1")


@pytest.fixture
def room() -> Iterator[Path]:
    """A place that the account of restored servers may enter."""
    with tempfile.TemporaryDirectory(prefix="outlive-incrementals-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        yield Path(scratch)


async def _taken(server: OneServer, store: ObjectStore, kind: Kind, source: Wanted) -> str:
    await server.caught_up()
    wish = Request(kind=kind, programs=programs.directory(None), codec=Codec(), wanted=source, or_full=False)
    return (await create(store, server.access, wish)).id


async def _restored(store: ObjectStore, backup: str, into: Path) -> list[object]:
    found: list[object] = []

    async def look(server: PrivateServer) -> None:
        connection = await server.connect()
        found.append(await connection.fetchval(ALL))
        await connection.close()

    _, material = await observe(store, None)
    await restore(material, Wish(target=BackupEnd(), backup=backup), into, prepare=look)
    return found


async def test_every_change_comes_back(changing: OneServer, room: Path) -> None:
    """Of the primary and the standby in turn; a changed block that one of the chain lacks would show in the rows."""
    store = open_store(f"file://{room}/store")
    await _taken(changing, store, Kind.FULL, Wanted.PRIMARY)
    expected = {}
    for number, statements in enumerate(CHANGES.values()):
        await changing.sql(*statements, "SELECT 1")
        rows = await changing.sql(ALL)
        taken = await _taken(changing, store, Kind.INCREMENTAL, (Wanted.PRIMARY, Wanted.STANDBY)[number % 2])
        expected[taken] = rows
    assert len(set(expected.values())) == len(CHANGES)
    for backup in list(expected)[2::3]:
        assert await _restored(store, backup, room / backup) == [expected[backup]]

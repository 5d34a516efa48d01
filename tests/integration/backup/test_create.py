"""Backups of real servers in real stores: what is there afterwards, and what isn't."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from integration.backup.one_server import OneServer, newest
from outlive.backup import codec as codecs
from outlive.backup.catalog import Catalog
from outlive.backup.codec import Codec
from outlive.backup.keys import Keyring
from outlive.backup.layout import BASE, DUMP, Kind
from outlive.backup.manifest import BackupManifest
from outlive.backup.plan.source import Wanted
from outlive.backup.taking.create import create
from outlive.backup.taking.request import Listener, Request, Step
from outlive.errors import BackupError, ConfigurationError, ObjectStorageError
from outlive.object_storage.opening import open_store
from outlive.object_storage.store import ObjectStore
from outlive.postgres import programs
from outlive.postgres.access import environment
from outlive.testing.object_store import SeaweedFS

KEYRING = Keyring.of(b"k" * 32)
OTHER = Keyring.of(b"o" * 32)
LARGE = "CREATE TABLE t AS SELECT g, repeat(md5(g::text), 9) FROM generate_series(1, 60000) g"
ONE = "SELECT 1"


def wish(kind: Kind = Kind.FULL, **more: object) -> Request:
    """A backup with our newest programs, encrypted."""
    asked = Request(kind=kind, programs=programs.directory(None), codec=Codec(keyring=KEYRING))
    return replace(asked, **more)  # type: ignore[arg-type]


@pytest.fixture
async def store(s3: SeaweedFS) -> ObjectStore:
    """A prefix of its own on S3."""
    return open_store(s3.url("outlive", uuid4().hex), s3.options())


@pytest.fixture
async def table(server: OneServer) -> AsyncIterator[str]:
    """A table of 5,000 rows that the standby has too."""
    name = f"t{uuid4().hex[:8]}"
    await server.sql(f"CREATE TABLE {name} AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 5000) g", ONE)
    await server.caught_up()
    yield name
    await server.sql(f"DROP TABLE {name}", "SELECT 1")


async def content(store: ObjectStore, backup: BackupManifest, part: str, keyring: Keyring | None = KEYRING) -> bytes:
    """What one of its objects holds."""
    found = backup.object_named(part)
    assert found is not None
    return b"".join([chunk async for chunk in codecs.decode(store.stream(found.key), keyring, found.key)])


async def keys(store: ObjectStore) -> list[str]:
    """Whatever lies in the store."""
    return sorted([facts.key async for facts in store.list()])


def unpack(tar: bytes, into: Path) -> None:
    """By tar itself: the oldest Python that is supported has no filter against what a tar may hold."""
    into.mkdir(mode=0o700)
    subprocess.run(["tar", "-x", "--no-same-owner", "-C", into], input=tar, check=True, timeout=60)


async def test_a_full_backup_starts_and_holds_the_rows(
    server: OneServer, store: ObjectStore, table: str, tmp_path: Path
) -> None:
    """From the standby, encrypted, on S3: unpacked and started as it is, it has the rows that its manifest says."""
    backup = await create(store, server.access, wish())
    assert (backup.kind, backup.from_role, backup.key_id) == (Kind.FULL, "standby", KEYRING.writing.id)
    assert (await Catalog.load(store)).backups == (backup,)
    assert set(backup.durations) >= {step.value for step in (Step.CHOOSE, Step.RESERVE, Step.SEND, Step.CHECK)}
    counted = next(each for each in backup.counts if each.database == "postgres").tables[f"public.{table}"]
    tar = await content(store, backup, BASE)
    assert len(tar) == next(each.raw_bytes for each in backup.objects if each.key.endswith(BASE))
    await asyncio.to_thread(unpack, tar, tmp_path / "data")
    rows = await asyncio.to_thread(server.run_on, tmp_path / "data", f"SELECT count(*) FROM {table}")
    assert rows == [str(counted.rows)] == ["5000"]


async def test_a_full_backup_of_the_primary_in_the_open(server: OneServer, store: ObjectStore, table: str) -> None:
    """Asked for by name, it comes from the primary; without a key it is not encrypted, and says so."""
    backup = await create(store, server.access, wish(wanted=Wanted.PRIMARY, codec=Codec()))
    assert (backup.from_role, backup.key_id, backup.notes) == ("primary", None, ())
    assert table
    assert (await content(store, backup, BASE, None))[257:262] == b"ustar"


async def test_an_incremental_backup(server: OneServer, store: ObjectStore, table: str) -> None:
    """It is small and names its parent; on a release without, and without a parent, it is full or refused."""
    first = await create(store, server.access, wish(Kind.INCREMENTAL))
    assert first.kind is Kind.FULL
    assert any("instead of an incremental one" in note for note in first.notes)
    await server.sql(f"UPDATE {table} SET v = 'changed' WHERE id < 10", "SELECT 1")
    await server.caught_up()
    if server.major < 17:
        with pytest.raises(BackupError, match="has no incremental backups"):
            await create(store, server.access, wish(Kind.INCREMENTAL, or_full=False))
        return
    for wanted in (Wanted.PRIMARY, Wanted.STANDBY):
        second = await create(store, server.access, wish(Kind.INCREMENTAL, or_full=False, wanted=wanted))
        assert second.kind is Kind.INCREMENTAL
        assert second.stored_bytes < first.stored_bytes
        assert second.parent is not None
    catalog = await Catalog.load(store)
    assert [each.id for each in catalog.chain(catalog.find("latest"))] == [each.id for each in catalog.backups]


async def test_a_logical_backup_counts_what_it_dumps(server: OneServer, store: ObjectStore, table: str) -> None:
    """The counts are of the dump's own snapshot."""
    backup = await create(store, server.access, wish(Kind.LOGICAL))
    assert backup.counts[0].tables[f"public.{table}"].rows == 5000
    assert (await content(store, backup, DUMP))[:5] == b"PGDMP"
    assert backup.start_lsn is None


@newest
@pytest.mark.parametrize("step", [Step.RESERVE, Step.SEND, Step.CHECK, Step.COUNT, Step.PUBLISH])
async def test_an_interrupted_backup_leaves_nothing(server: OneServer, store: ObjectStore, step: Step) -> None:
    """Ctrl-C at any step: no backup, no object, no unfinished upload, and the next one is taken."""
    taking: asyncio.Task[BackupManifest]

    def stop(begun: Step) -> None:
        if begun is step:
            taking.cancel()

    taking = asyncio.create_task(create(store, server.access, wish(), Listener(step=stop)))
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert await keys(store) == ["repository.json"]
    assert not await store.unfinished()


async def test_a_server_that_dies_leaves_no_backup(release: Path, store: ObjectStore, tmp_path: Path) -> None:
    """The multipart is given up, and the error says what pg_basebackup said."""
    alone = OneServer(_reachable(tmp_path), release)
    try:
        alone.create()
        await alone.sql(LARGE, ONE)
        kill = Listener(progress=lambda _now: alone.stop())
        with pytest.raises(BackupError, match="pg_basebackup ended with"):
            await create(store, alone.access, wish(bytes_per_s=4e6), kill)
    finally:
        alone.remove()
    assert await keys(store) == ["repository.json"]
    assert not await store.unfinished()


async def test_a_failover_in_the_middle_is_told(release: Path, store: ObjectStore, tmp_path: Path) -> None:
    """A standby that is promoted while it is backed up."""
    pair = OneServer(_reachable(tmp_path), release)
    try:
        pair.create()
        await pair.sql(LARGE, ONE)
        pair.follow()
        promoted = False

        def promote(_now: object) -> None:
            nonlocal promoted
            if not promoted:
                promoted = True
                pair.promote()

        with pytest.raises(BackupError, match="a failover happened"):
            await create(store, pair.access, wish(wanted=Wanted.STANDBY, bytes_per_s=2e7), Listener(progress=promote))
    finally:
        pair.remove()
    assert await keys(store) == ["repository.json"]


def _reachable(folder: Path) -> Path:
    """pytest's folders are closed to the account of the servers."""
    for path in (folder, *folder.parents):
        if path.stat().st_mode & 0o777 == 0o700:
            path.chmod(0o755)
    return folder


@newest
async def test_refused_credentials_are_told_before_the_server_is_touched(server: OneServer, s3: SeaweedFS) -> None:
    """And neither key of the store is in the message."""
    refused = open_store(s3.url("outlive", uuid4().hex), s3.refused())
    with pytest.raises(ObjectStorageError, match="refuses") as caught:
        await create(refused, server.access, wish())
    assert "another-secret" not in str(caught.value)


def _shown(setting: str, environment: dict[str, str]) -> str:
    command = [str(programs.directory(None) / "psql"), "-XAtc", f"SHOW {setting}"]
    return subprocess.check_output(command, env=environment, text=True).strip()


@newest
async def test_a_slow_store_does_not_cost_the_connection(server: OneServer) -> None:
    """However soon the server gives up a connection whose data nobody takes: that of a backup may wait."""
    await server.sql("ALTER SYSTEM SET tcp_user_timeout = '1s'", "SELECT pg_reload_conf()")
    try:
        surroundings = environment(server.access, server.access.addresses[0], server.access.login, os.environ)
        assert _shown("tcp_user_timeout", surroundings) == "0"
        assert _shown("tcp_user_timeout", {**surroundings, "PGOPTIONS": ""}) == "1000"
    finally:
        await server.sql("ALTER SYSTEM RESET tcp_user_timeout", "SELECT pg_reload_conf()")


@newest
@pytest.mark.parametrize("when", [Step.SEND, Step.CHECK])
async def test_a_store_that_freezes_in_the_middle(server: OneServer, s3: SeaweedFS, when: Step) -> None:
    """It is told in bounded time; what came of the last write shows when the store is back, and it is never a half."""
    prefix = uuid4().hex
    impatient = open_store(s3.url("outlive", prefix), s3.options(timeout_s=2, retries=1))
    thaw = None

    def freeze(step: Step) -> None:
        nonlocal thaw
        if step is when:
            thaw = s3.freeze()

    try:
        with pytest.raises(ObjectStorageError):
            await asyncio.wait_for(create(impatient, server.access, wish(), Listener(step=freeze)), 150)
    finally:
        assert thaw is not None
        thaw()
    after = open_store(s3.url("outlive", prefix), s3.options())
    catalog = await Catalog.load(after)
    assert len(catalog.backups) + len(catalog.unfinished) == 1
    assert when is Step.CHECK or catalog.backups == ()
    for stored in (each for backup in catalog.backups for each in backup.objects):
        facts = await after.head(stored.key)
        assert facts is not None
        assert facts.size_bytes == stored.size_bytes


@newest
async def test_another_clusters_store_is_refused(server: OneServer, store: ObjectStore) -> None:
    """Nothing is written there."""
    await store.put("repository.json", b'{"format":1,"system_identifier":"1","made_at":"2026-11-24T00:00:00Z"}')
    with pytest.raises(ConfigurationError, match="holds the backups of cluster 1"):
        await create(store, server.access, wish())
    assert await keys(store) == ["repository.json"]


@newest
async def test_a_parent_under_another_key_is_told_at_once(server: OneServer, store: ObjectStore) -> None:
    """By the key's name; nothing is left."""
    first = await create(store, server.access, wish())
    before = await keys(store)
    with pytest.raises(ConfigurationError, match=KEYRING.writing.id):
        await create(store, server.access, wish(Kind.INCREMENTAL, codec=Codec(keyring=OTHER)))
    assert await keys(store) == before
    assert first.key_id == KEYRING.writing.id


@newest
async def test_two_backups_of_one_server_at_a_time(server: OneServer, store: ObjectStore) -> None:
    """The second one is refused, whoever started it, until the first has ended."""
    begun = asyncio.Event()

    def note(step: Step) -> None:
        if step is Step.SEND:
            begun.set()

    # The first one takes half a minute if it is let: however slowly the second one asks, it meets it.
    slow = wish(wanted=Wanted.PRIMARY, bytes_per_s=1e6)
    first = asyncio.create_task(create(store, server.access, slow, Listener(step=note)))
    await asyncio.wait_for(begun.wait(), 60)
    with pytest.raises(BackupError, match="another backup is being taken"):
        await create(store, server.access, wish(wanted=Wanted.PRIMARY))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await create(store, server.access, wish(wanted=Wanted.PRIMARY))).kind is Kind.FULL


@newest
async def test_tablespaces_are_refused(release: Path, store: ObjectStore, tmp_path: Path) -> None:
    """By name, before anything is written."""
    alone = OneServer(_reachable(tmp_path), release)
    try:
        alone.create()
        await alone.sql("SET allow_in_place_tablespaces = on", "CREATE TABLESPACE fast LOCATION ''", "SELECT 1")
        with pytest.raises(ConfigurationError, match="tablespaces of its own \\(fast\\)"):
            await create(store, alone.access, wish())
    finally:
        alone.remove()
    assert await keys(store) == []

"""Prune, check and keep on a real S3 server: what goes, what stays, and each planted defect found."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from typer.testing import CliRunner

from integration.backup.store_proxy import Delay, StoreProxy
from integration.client.waiting import until
from outlive import system
from outlive.backup import keeping, manifest, pruning, repository
from outlive.backup.catalog import Catalog
from outlive.backup.checking import NO_UPLOADS, Checked, Severity, check
from outlive.backup.layout import BASE, BEGUN, MANIFEST, BackupId, Kind, backup_key, verification_key
from outlive.backup.manifest import BackupManifest, StoredObject
from outlive.backup.plan.retention import Rules
from outlive.cli.app import app
from outlive.cli.retention_acts import pruning_text
from outlive.errors import ConfigurationError, ObjectStorageError
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import WalSegment
from outlive.object_storage.lock import Locking, Rule, lacking, probe, rule
from outlive.object_storage.opening import open_store
from outlive.object_storage.s3 import calls_of, parsed
from outlive.object_storage.store import ObjectStore
from outlive.testing.object_store import SeaweedFS

SEGMENT = 1 << 24
LOCK_S = 3
CONTENT = b"what a base backup holds" * 20


@pytest.fixture
async def store(s3: SeaweedFS) -> ObjectStore:
    """A prefix of its own, of cluster 7."""
    opened = open_store(s3.url("outlive", uuid4().hex), s3.options())
    await repository.require(opened, "7")
    return opened


async def put(
    store: ObjectStore, days_ago: float, segment: int, parent: BackupManifest | None = None
) -> BackupManifest:
    """A backup of some days ago that covers a segment; its object and its manifest."""
    at = (system.now_utc() - timedelta(days=days_ago)).replace(microsecond=0)
    kind = Kind.INCREMENTAL if parent else Kind.FULL
    name = str(BackupId(at, kind))
    stored = StoredObject(
        key=backup_key(name, BASE), size_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(), raw_bytes=99
    )
    made = BackupManifest(
        format=1, id=name, kind=kind, parent=parent.id if parent else None, system_identifier="7",
        postgres_version="18", timeline=Timeline(1), started_at=at, finished_at=at, from_node="h", from_role="standby",
        objects=(stored,), segment_bytes=SEGMENT, outlive_version="0", start_lsn=str(Lsn(segment * SEGMENT + 40)),
        end_lsn=str(Lsn(segment * SEGMENT + 400)),
    )  # fmt: skip
    await store.put(stored.key, CONTENT)
    await store.put(backup_key(name, MANIFEST), manifest.encode(made))
    return made


async def put_wal(store: ObjectStore, *numbers: int, timeline: int = 1) -> None:
    """Segments in the archive."""
    for number in numbers:
        name = WalSegment(Timeline(timeline), number, SEGMENT).name
        await store.put(f"wal/{timeline:08X}/{name}", bytes(64))


async def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    """What lies there."""
    return sorted([facts.key async for facts in store.list(prefix)])


async def test_prune_removes_what_is_expired_and_nothing_else(store: ObjectStore) -> None:
    """A dry run removes nothing; then the old chain goes with its WAL, and what is left is whole."""
    old = await put(store, 40, 10)
    child = await put(store, 39, 12, old)
    anchor, new = await put(store, 9, 20), await put(store, 1, 30)
    await put_wal(store, *range(9, 32))
    await put_wal(store, 20, 21, timeline=2)
    await store.put("wal/00000002.history", bytes(64))
    before = await keys(store)
    dry = await pruning.prepare(store, Rules(days=7))
    assert await keys(store) == before
    assert [each.id for each in dry.retention.goes] == [child.id, old.id]
    await pruning.apply(store, dry)
    catalog = await Catalog.load(store)
    assert catalog.backups == (anchor, new)
    assert catalog.unfinished == ()
    kept = [WalSegment(Timeline(1), number, SEGMENT).name for number in range(20, 32)]
    assert [key.rsplit("/", 1)[-1] for key in await keys(store, "wal/00000001")] == kept
    assert len(await keys(store, "wal/00000002")) == 2
    assert "wal/00000002.history" in await keys(store)
    assert (await check(store, deep=True)).findings == ()


async def test_a_prune_that_was_cut_is_finished_by_the_next(store: ObjectStore) -> None:
    """With only the manifest gone there is no backup; what is left of it goes as unfinished, not before its time."""
    old, new = await put(store, 40, 10), await put(store, 1, 30)
    await store.delete([backup_key(old.id, MANIFEST)])
    early = await pruning.prepare(store, Rules(days=7))
    assert early.backup_keys == ()
    late = await pruning.prepare(store, Rules(days=7, unfinished_after=timedelta(0)))
    assert late.retention.abandoned == (old.id,)
    await pruning.apply(store, late)
    assert (await Catalog.load(store)).backups == (new,)
    assert not any(old.id in key for key in await keys(store))


async def test_a_keep_holds_a_chain_until_it_is_released(store: ObjectStore) -> None:
    """By name; the kept incremental holds its parent, and the WAL of its own backups alone."""
    old = await put(store, 40, 10)
    child, new = await put(store, 39, 12, old), await put(store, 1, 30)
    await put_wal(store, *range(9, 31))
    await keeping.keep(store, "case-7", child.id, "a court asks")
    with pytest.raises(ConfigurationError, match="there is a keep case-7 already"):
        await keeping.keep(store, "case-7", new.id, "")
    await pruning.apply(store, await pruning.prepare(store, Rules(count=1)))
    assert (await Catalog.load(store)).backups == (old, child, new)
    names = [key.rsplit("/", 1)[-1] for key in await keys(store, "wal")]
    assert names == [WalSegment(Timeline(1), number, SEGMENT).name for number in (10, 12, 30)]
    await keeping.release(store, "case-7")
    await pruning.apply(store, await pruning.prepare(store, Rules(count=1)))
    assert (await Catalog.load(store)).backups == (new,)
    with pytest.raises(ConfigurationError, match="there is no keep"):
        await keeping.release(store, "case-7")


async def test_the_last_verified_backup_outlives_unverified_ones(store: ObjectStore) -> None:
    """However many follow."""
    proved = await put(store, 40, 10)
    mark = {"status": "verified", "at": system.now_utc(), "more": [1, 2]}
    await store.put(verification_key(proved.id, 1), msgspec.json.encode(mark))
    for day in range(5):
        await put(store, 5 - day, 20 + day)
    plan = await pruning.prepare(store, Rules(count=1))
    assert proved.id in {each.id for each in plan.retention.stays}
    assert len(plan.retention.goes) == 4


async def test_a_backup_under_way_keeps_its_parent(store: ObjectStore) -> None:
    """Its mark names it."""
    old = await put(store, 40, 10)
    await put(store, 1, 30)
    begun = {"started_at": system.now_utc(), "host": "h", "pid": 1, "parent": old.id}
    await store.put(backup_key("20991124T225000Z-incremental", BEGUN), msgspec.json.encode(begun))
    plan = await pruning.prepare(store, Rules(count=1))
    assert plan.retention.goes == ()


async def test_with_a_damaged_manifest_nothing_is_removed(store: ObjectStore) -> None:
    """It may be the parent of what would stay."""
    old = await put(store, 40, 10)
    await put(store, 1, 30)
    await store.put(backup_key(old.id, MANIFEST), b"{}")
    with pytest.raises(ConfigurationError, match="nothing is removed"):
        await pruning.prepare(store, Rules(count=1))


async def _found(store: ObjectStore, *, deep: bool = True) -> tuple[Checked, dict[str, str]]:
    checked = await check(store, deep=deep)
    return checked, {each.key: each.what for each in checked.findings}


async def test_check_finds_each_defect(store: ObjectStore) -> None:
    """A flipped byte, a cut, exchanged objects, a missing one, a removed manifest, a parent that expired, an orphan."""
    whole = [await put(store, 20 - number, 10 + number) for number in range(7)]
    await put(store, 1, 30, whole[6])
    assert (await check(store, deep=True)).findings == ()
    place = [backup_key(each.id, BASE) for each in whole]
    await store.put(place[0], CONTENT[:100] + bytes([CONTENT[100] ^ 1]) + CONTENT[101:])
    await store.put(place[1], CONTENT[:-1])
    await store.put(place[2], CONTENT[::-1])
    await store.delete([place[3]])
    await store.delete([backup_key(whole[4].id, MANIFEST)])
    await store.put(backup_key(whole[5].id, MANIFEST), b'{"sha256":"","manifest":{}}')
    await store.delete(await keys(store, f"backups/{whole[6].id}"))
    await store.put(f"backups/{whole[0].id}/stray", b"x")
    checked, found = await _found(store)
    assert not checked.whole
    assert found[place[0]] == found[place[2]] == "its bytes are not those that were written"
    assert "instead of" in found[place[1]]
    assert found[place[3]] == "it is not there"
    assert "no manifest" in found[f"backups/{whole[4].id}"]
    assert "not what was written" in found[backup_key(whole[5].id, MANIFEST)]
    assert any("is based on" in what for what in found.values())
    assert found[f"backups/{whole[0].id}/stray"] == "no manifest names it"
    quick, _ = await _found(store, deep=False)
    assert len(quick.findings) == len(checked.findings) - 2


async def test_untidiness_is_no_defect(store: ObjectStore) -> None:
    """An orphan is told, and every backup can be restored all the same."""
    await put(store, 1, 10)
    await store.put("backups/20261124T225000Z-full/base.tar", b"left")
    checked = await check(store, deep=False)
    assert checked.whole
    assert [each.severity for each in checked.findings] == [Severity.UNTIDY]


async def test_object_lock_is_told_as_it_is(s3: SeaweedFS) -> None:
    """A bucket without it takes none; one that was made with it shows whether a locked object can be removed."""
    assert await probe(s3.url(), s3.options()) is Locking.REFUSED
    assert await probe("file:///tmp/x", s3.options()) is Locking.NOT_S3
    s3.make_bucket("locked", locking=True)
    assert await probe(s3.url("locked", "prefix"), s3.options()) is Locking.HOLDS


async def _versions(s3: SeaweedFS, bucket: str) -> list[str | None]:
    calls = calls_of(bucket, s3.options())
    assert calls is not None
    listed = parsed(await calls.ask("GET", "", {"versions": ""}), bucket)
    return [each.findtext("{*}VersionId") for each in listed.iterfind("{*}Version")]


async def test_trying_a_lock_again_leaves_one_object(s3: SeaweedFS) -> None:
    """That which is locked is tried again."""
    s3.make_bucket("tried", locking=True)
    place, options = s3.url("tried", "prefix"), s3.options()
    assert await probe(place, options) is Locking.HOLDS
    first = await _versions(s3, "tried")
    assert await probe(place, options) is Locking.HOLDS
    assert await _versions(s3, "tried") == first
    assert len(first) == 1


async def test_what_a_try_has_left_goes_when_its_lock_has_ended(s3: SeaweedFS) -> None:
    """The next try removes it, and puts another one there."""
    s3.make_bucket("short", locking=True)
    assert await probe(s3.url("short"), s3.options(), lock_s=LOCK_S) is Locking.HOLDS
    (first,) = await _versions(s3, "short")

    async def gone() -> bool:
        assert await probe(s3.url("short"), s3.options(), lock_s=LOCK_S) is Locking.HOLDS
        return first not in await _versions(s3, "short")

    await until(gone, 120)


async def test_what_is_removed_only_after_its_lock_has_ended_is_tried_again(s3: SeaweedFS, proxy: StoreProxy) -> None:
    """A slow answer is no proof that the store ignores locks."""
    s3.make_bucket("slow", locking=True)
    place, options = s3.url("slow"), replace(s3.options(), endpoint=proxy.endpoint)
    proxy.do(Delay(LOCK_S + 2), lambda method, _path: method == "DELETE" and proxy.hurt == 0)
    assert await probe(place, options, lock_s=LOCK_S) is Locking.HOLDS
    assert proxy.hurt == 1
    proxy.heal()


async def test_the_buckets_own_rule_is_compared_with_the_policys(s3: SeaweedFS) -> None:
    """No lock, no rule, one that is too short or too weak, and one that will do."""
    s3.make_bucket("ruled", locking=True)
    place, options = s3.url("ruled"), s3.options()
    assert await rule(s3.url(), options) is Locking.REFUSED
    assert await rule(place, options) == Rule("none", 0)
    s3.lock_bucket("ruled", "GOVERNANCE", 7)
    found = await rule(place, options)
    assert found == Rule("governance", 7)
    assert lacking(found, 7, "governance") is None
    assert "not for 8" in (lacking(found, 8, "governance") or "")
    assert "mode is governance" in (lacking(found, 7, "compliance") or "")
    assert "no locks" in (lacking(Locking.REFUSED, 7, "governance") or "")
    with pytest.raises(ObjectStorageError):
        await rule(s3.url("not-there"), options)


async def test_without_credentials_at_hand_it_says_that_it_could_not_look(
    s3: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with an instance's role: neither the lock nor unfinished uploads pass for having been looked at."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    bare = replace(s3.options(), credentials=None)
    assert await rule(s3.url(), bare) is Locking.NO_CREDENTIALS
    assert "not at hand" in (lacking(Locking.NO_CREDENTIALS, 7, "governance") or "")
    assert await open_store(s3.url(), bare).unfinished() is None
    memory = open_store("memory://")
    await put(memory, 1, 10)
    await repository.require(memory, "7")
    pruned = pruning_text(await pruning.prepare(memory, Rules(count=1)), dry_run=True)
    assert (await check(memory, deep=False)).not_looked_at == (NO_UPLOADS,)
    assert f"not looked at: {NO_UPLOADS}" in pruned


async def test_in_a_bucket_with_a_lock_backups_are_written_and_stay(s3: SeaweedFS) -> None:
    """Small and large objects with checksums; what was locked can't be removed for good by whoever can write."""
    s3.make_bucket("kept", locking=True)
    s3.lock_bucket("kept", "COMPLIANCE", 1)
    store = open_store(s3.url("kept"), replace(s3.options(), checksums=True))

    async def large() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(6 << 20)

    await store.put("small", b"small")
    assert await store.upload("large", large()) == 18 << 20
    await store.delete(["small"])
    calls = calls_of("kept", s3.options())
    assert calls is not None
    versions = (await calls.ask("GET", "", {"versions": ""})).body
    assert b"<Key>small</Key>" in versions
    assert b"<Key>large</Key>" in versions


def test_check_fails_where_the_bucket_locks_less_than_the_policy_says(s3: SeaweedFS, tmp_path: Path) -> None:
    """By its exit code, with what is lacking; and passes once the bucket's rule is mended."""
    s3.make_bucket("short", locking=True)
    s3.lock_bucket("short", "GOVERNANCE", 1)
    policy = tmp_path / "outlive.yaml"
    full = f"{{schedule: '0 2 * * *', storage: '{s3.url('short')}'}}"
    more = f"storage_options: {s3.options_file()}\n  object_lock: {{days: 30}}"
    policy.write_text(f"backup_policy:\n  full_backup: {full}\n  {more}\n")
    line = ["backup", "check", "--policy", str(policy), "--dir", str(tmp_path / "none")]
    short = CliRunner().invoke(app, line)
    s3.lock_bucket("short", "GOVERNANCE", 30)
    mended = CliRunner().invoke(app, line)
    assert (short.exit_code, mended.exit_code) == (9, 0), short.output
    assert "locks what is written for 1 days, not for 30" in short.stdout

"""Names in a store, and manifests."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from outlive.backup import layout, manifest
from outlive.backup.catalog import Catalog, Keep
from outlive.backup.layout import BackupId, Kind
from outlive.backup.manifest import BackupManifest, StoredObject
from outlive.backup.repository import find, require
from outlive.errors import BackupError, ChecksumMismatchError, ConfigurationError
from outlive.model.lsn import Lsn, Timeline
from outlive.object_storage.opening import open_store
from outlive.object_storage.store import ObjectStore

AT = datetime(2026, 11, 24, 22, 50, 0, tzinfo=UTC)


def made(backup_id: str, parent: str | None = None) -> BackupManifest:
    """A backup that is finished."""
    parsed = BackupId.parse(backup_id)
    stored = StoredObject(key=layout.backup_key(backup_id, layout.BASE), size_bytes=3, sha256="00", raw_bytes=9)
    return BackupManifest(
        format=1, id=backup_id, kind=parsed.kind, parent=parent, system_identifier="7", postgres_version="18.6",
        timeline=Timeline(1), started_at=parsed.started_at, finished_at=parsed.started_at, from_node="h:1",
        from_role="standby", objects=(stored,), segment_bytes=1 << 24, outlive_version="0", start_lsn="0/2000028",
        end_lsn="0/2000158",
    )  # fmt: skip


async def put(store: ObjectStore, backup: BackupManifest) -> None:
    """Store the manifest."""
    await store.put(layout.backup_key(backup.id, layout.MANIFEST), manifest.encode(backup))


@pytest.mark.parametrize(
    "text", ["20261124T225000Z-full", "20261124T225000Z-incremental-2", "20261124T225000Z-logical"]
)
def test_ids_are_read_back(text: str) -> None:
    """With their moment, kind and number."""
    found = BackupId.parse(text)
    assert str(found) == text
    assert found.started_at == AT


@pytest.mark.parametrize(
    "text", ["", "latest", "20261324T225000Z-full", "20261124T225000Z-full-0", "../x", "20261124T225000Z"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    """With what to do."""
    with pytest.raises(ConfigurationError, match="not the ID of a backup"):
        BackupId.parse(text)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "a b", "x" * 64, "ü"])
def test_names_of_keeps_stay_in_their_folder(name: str) -> None:
    """No name leads out of it."""
    with pytest.raises(ConfigurationError, match="not a name"):
        layout.keep_key(name)


def test_a_manifest_is_read_back_or_refused() -> None:
    """Any other byte in it is found."""
    backup = made("20261124T225000Z-full")
    stored = manifest.encode(backup)
    assert manifest.decode(stored, "k") == backup
    assert (backup.start, backup.stored_bytes, backup.raw_bytes) == (Lsn.parse("0/2000028"), 3, 9)
    for place in range(len(stored)):
        damaged = bytearray(stored)
        damaged[place] ^= 1
        with pytest.raises((ChecksumMismatchError, ConfigurationError)):
            manifest.decode(bytes(damaged), "k")
    with pytest.raises(ChecksumMismatchError):
        manifest.decode(stored[:-1], "k")


async def test_a_store_is_one_clusters() -> None:
    """The first one takes it; another is refused, and so is writing in the open to an encrypted one."""
    store = open_store("memory://")
    assert await find(store) is None
    first = await require(store, "7", "key")
    assert await require(store, "7", "another") == first
    with pytest.raises(ConfigurationError, match="holds the backups of cluster 7, and this is 8"):
        await require(store, "8", "key")
    with pytest.raises(ConfigurationError, match="no key was given"):
        await require(store, "7", None)


async def test_a_catalog_is_what_the_manifests_say() -> None:
    """An ID without a manifest is unfinished, a damaged one is told, and neither is a backup."""
    store = open_store("memory://")
    full, incremental = made("20261124T225000Z-full"), made("20261124T230000Z-incremental", "20261124T225000Z-full")
    for backup in (incremental, full):
        await put(store, backup)
    await store.put("backups/20261124T231000Z-full/base.tar", b"left")
    await store.put("backups/20261124T232000Z-full/manifest.json", b"{}")
    await store.put(
        layout.verification_key(full.id, 1), msgspec.json.encode({"status": "verified", "at": AT, "more": 1})
    )
    await store.put(layout.verification_key(incremental.id, 1), msgspec.json.encode({"status": "failed", "at": AT}))
    keep = Keep(name="audit", backup=full.id, reason="a case", made_at=AT)
    await store.put(layout.keep_key("audit"), msgspec.json.encode(keep))
    catalog = await Catalog.load(store)
    assert catalog.backups == (full, incremental)
    assert catalog.unfinished == ("20261124T231000Z-full",)
    assert [each.key for each in catalog.damaged] == ["backups/20261124T232000Z-full/manifest.json"]
    assert (catalog.keeps, catalog.verified_at) == ((keep,), {full.id: AT})
    assert catalog.find("latest") == incremental
    assert catalog.chain(incremental) == (full, incremental)
    for wanted, error in (("20261124T231000Z-full", BackupError), ("20261124T232000Z-full", ChecksumMismatchError)):
        with pytest.raises(error):
            catalog.find(wanted)
    with pytest.raises(ConfigurationError, match="there is no backup"):
        catalog.find("20250101T000000Z-full")


async def test_a_chain_without_its_parent_is_told() -> None:
    """By the name of the one that is missing."""
    store = open_store("memory://")
    await put(store, made("20261124T230000Z-incremental", "20261124T225000Z-full"))
    catalog = await Catalog.load(store)
    with pytest.raises(BackupError, match="is based on 20261124T225000Z-full, which is not there"):
        catalog.chain(catalog.find("latest"))


async def test_nothing_is_an_empty_catalog() -> None:
    """And its newest backup is told to be missing."""
    catalog = await Catalog.load(open_store("memory://"))
    assert (catalog.repository, catalog.backups) == (None, ())
    with pytest.raises(ConfigurationError, match="there is no backup yet"):
        catalog.find("latest")


def test_kinds() -> None:
    """The three, by the words that the command takes."""
    assert [kind.value for kind in Kind] == ["full", "incremental", "logical"]

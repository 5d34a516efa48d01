"""Looks into a store: its backups, its WAL, and how late that goes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from outlive.backup import codec
from outlive.backup.catalog import Catalog
from outlive.backup.keys import Keyring
from outlive.backup.layout import BASE, Kind
from outlive.backup.manifest import BackupManifest
from outlive.backup.plan.archived import (
    Archived,
    coverage,
    covered_bytes,
    file_key,
    piece_key,
    pieces_by_segment,
    read_listing,
)
from outlive.backup.plan.lineage import ArchiveFacts, Coverage
from outlive.backup.plan.recovery import BackupFacts, CatalogFacts, PointFacts
from outlive.backup.restoring.material import Material, StoredBackup
from outlive.errors import ChecksumMismatchError, ConfigurationError, ObjectNotFoundError
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, TimelineSwitch, WalSegment, history_name, parse_history
from outlive.object_storage.store import ObjectFacts, ObjectStore

WAL = "wal"
HEADER_BYTES = 20 * 1024
LOOKS = 3
"""How often the WAL is listed at most, where it changes under one's eyes."""


class _Mark(msgspec.Struct, frozen=True):
    """What a primary says while it is idle: whatever was committed before `at` lies before `end`."""

    end: str
    at: datetime


async def observe(store: ObjectStore, keyring: Keyring | None) -> tuple[Catalog, Material]:
    """What is in the store, and what a restore can be made of.

    Raises:
        ConfigurationError: there is nothing.
        ObjectStorageError: it doesn't answer, or refuses.
    """
    catalog, listing = await asyncio.gather(Catalog.load(store), _listing(store))
    if catalog.repository is None:
        raise ConfigurationError(
            f"{store.url} holds no backups", hint="--storage names the store; `outlive backup create` takes a backup."
        )
    size = next((each.segment_bytes for each in catalog.backups), DEFAULT_SEGMENT_BYTES)
    listing, archived, covered = await _settled(store, listing, size)
    archive = ArchiveFacts(
        segments=archived.segments,
        tails=_tails(archived),
        histories=await _histories(store, keyring, archived),
        covered=covered,
        stored_at=_stored_at(listing, size),
        segment_bytes=size,
    )
    return catalog, _material(store, keyring, catalog, archive, archived)


async def _settled(
    store: ObjectStore, listing: Sequence[ObjectFacts], segment_bytes: int
) -> tuple[Sequence[ObjectFacts], Archived, tuple[Coverage, ...]]:
    """What the listing holds, and how late it goes; listed anew where a newest object went before it was read.

    A piece goes once its segment is there: of a cluster that lives, a listing may be out of date at once.
    """
    for looks_left in reversed(range(LOOKS)):
        archived = read_listing([(each.key, each.size_bytes) for each in listing], segment_bytes)
        covered, gone = await _covered(store, archived)
        if not gone or not looks_left:
            break
        listing = await _listing(store)
    return listing, archived, covered


def _material(
    store: ObjectStore, keyring: Keyring | None, catalog: Catalog, archive: ArchiveFacts, archived: Archived
) -> Material:
    assert catalog.repository is not None, "seen before"
    physical = [each for each in catalog.backups if each.kind is not Kind.LOGICAL]
    facts = CatalogFacts(
        backups=tuple(_facts(each) for each in physical),
        archive=archive,
        points={each.name: PointFacts(each.name, Lsn.parse(each.lsn), each.timeline) for each in catalog.points},
        keys=frozenset(key.id for key in keyring.keys) if keyring else frozenset(),
    )
    return Material(
        store=store,
        keyring=keyring,
        facts=facts,
        backups={each.id: _stored(each) for each in physical},
        archived=archived,
        system_identifier=catalog.repository.system_identifier,
    )


def _facts(manifest: BackupManifest) -> BackupFacts:
    assert manifest.start is not None, "a physical backup has LSNs"
    assert manifest.end is not None, "a physical backup has LSNs"
    tar = manifest.object_named(BASE)
    return BackupFacts(
        id=manifest.id,
        timeline=manifest.timeline,
        start=manifest.start,
        end=manifest.end,
        finished_at=manifest.finished_at,
        parent=manifest.parent,
        key_id=manifest.key_id,
        raw_bytes=tar.raw_bytes if tar else 0,
    )


def _stored(manifest: BackupManifest) -> StoredBackup:
    tar = manifest.object_named(BASE)
    if tar is None:
        raise ChecksumMismatchError(f"the manifest of backup {manifest.id} names no {BASE}")
    return StoredBackup(tar.key, tar.size_bytes, major(manifest))


def major(manifest: BackupManifest) -> int:
    """The major release of the PostgreSQL that a backup belongs to."""
    found = re.search(r"\d+", manifest.postgres_version)
    return int(found[0]) if found else 0


async def _histories(
    store: ObjectStore, keyring: Keyring | None, archived: Archived
) -> dict[Timeline, tuple[TimelineSwitch, ...]]:
    async def read(timeline: Timeline) -> tuple[TimelineSwitch, ...]:
        key = file_key(history_name(timeline))
        text = codec.decode_bytes(await store.get(key), keyring, key).decode()
        try:
            return parse_history(timeline, text)
        except ValueError as error:
            raise ChecksumMismatchError(f"{key}: {error}") from error

    timelines = sorted(archived.histories)
    return dict(zip(timelines, await asyncio.gather(*(read(each) for each in timelines)), strict=True))


async def _listing(store: ObjectStore) -> Sequence[ObjectFacts]:
    return [facts async for facts in store.list(WAL)]


def _tails(archived: Archived) -> dict[WalSegment, Lsn]:
    found = {segment: segment.end for segment in archived.partials if segment not in archived.segments}
    for segment, pieces in pieces_by_segment(archived).items():
        if covered := covered_bytes(pieces):
            found.setdefault(segment, Lsn(segment.start + covered))
    return found


def _stored_at(listing: Sequence[ObjectFacts], size: int) -> dict[WalSegment, datetime]:
    found = {}
    for each in listing:
        try:
            found[WalSegment.parse(each.key.rsplit("/", 1)[-1], size)] = each.modified_at
        except ValueError:
            continue
    return found


async def _covered(store: ObjectStore, archived: Archived) -> tuple[tuple[Coverage, ...], bool]:
    """For each timeline, the latest words of how late its WAL goes: of its idle primary, and of its newest object.

    And whether one of these objects is not there any more.
    """
    found: list[Coverage | None] = []
    gone = False
    for timeline in archived.timelines:
        found.append(await _marked(store, timeline))
        try:
            found.append(await _newest(store, archived, timeline))
        except ObjectNotFoundError:
            gone = True
    return tuple(each for each in found if each is not None), gone


async def _marked(store: ObjectStore, timeline: Timeline) -> Coverage | None:
    try:
        mark = msgspec.json.decode(await store.get(f"commits/{timeline:08X}.json"), type=_Mark)
    except (ObjectNotFoundError, msgspec.MsgspecError):
        return None
    return Coverage(timeline, Lsn.parse(mark.end), mark.at)


async def _newest(store: ObjectStore, archived: Archived, timeline: Timeline) -> Coverage | None:
    """What the header of the newest piece, or else segment, of a timeline says."""
    by_segment = pieces_by_segment(archived)
    tails = sorted(segment for segment in by_segment if segment.timeline == timeline and coverage(by_segment[segment]))
    wholes = sorted(segment for segment in archived.segments if segment.timeline == timeline)
    if tails and (not wholes or tails[-1].number > wholes[-1].number):
        piece = coverage(by_segment[tails[-1]])[-1]
        return await _said(store, piece_key(piece), timeline, Lsn(piece.segment.start + piece.end))
    return await _said(store, file_key(wholes[-1].name), timeline, wholes[-1].end) if wholes else None


async def _said(store: ObjectStore, key: str, timeline: Timeline, end: Lsn) -> Coverage | None:
    try:
        header = codec.peek(await store.get_range(key, 0, HEADER_BYTES), key)
        at = datetime.fromisoformat(str(header.about["at"]))
    except (ChecksumMismatchError, KeyError, ValueError):
        return None
    return Coverage(timeline, end, at) if at.tzinfo is not None else None

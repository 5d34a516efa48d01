"""What an archive of WAL holds, what is missing, and how far it can be trusted: from the store alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from outlive.backup.codec import Codec
from outlive.backup.deposit import Deposit
from outlive.backup.keys import Keyring
from outlive.backup.observation import observe
from outlive.backup.plan.archived import Archived, Piece, piece_key, segment_key, superseded, tail
from outlive.backup.plan.gaps import Continuity, find
from outlive.backup.plan.lineage import ArchiveFacts, Coverage
from outlive.backup.plan.loss import newest
from outlive.backup.plan.recovery import BackupFacts
from outlive.backup.plan.wal_page import Foreign, judge
from outlive.errors import ChecksumMismatchError, ObjectNotFoundError
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import WalSegment
from outlive.object_storage.store import ObjectStore

READS_AT_A_TIME = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Any moment from `begin` to `end` can be restored to, beginning with the backup `backup`."""

    backup: str
    begin: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WalReport:
    """The archive as it is. `end` is how far WAL reaches without a hole on the newest timeline."""

    url: str
    timeline: Timeline | None
    oldest: WalSegment | None
    end: Lsn
    proved: Coverage | None
    segments: int
    pieces: int
    superseded: int
    continuity: Continuity
    window: Window | None
    founded_at: datetime


@dataclass(frozen=True, slots=True)
class Damage:
    """An object that is not what it is called."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Looked:
    """A report, with what `read_deeply` goes through."""

    report: WalReport
    archived: Archived
    system_identifier: str


async def look(store: ObjectStore, keyring: Keyring | None) -> Looked:
    """Report on the archive in the store.

    Raises:
        ConfigurationError: there is none.
        ObjectStorageError: the store doesn't answer, or refuses.
    """
    catalog, material = await observe(store, keyring)
    assert catalog.repository is not None, "observe refuses a store without"
    archived, facts = material.archived, material.facts.archive
    continuity = find(archived, facts.histories, facts.segment_bytes)
    timeline = max(archived.timelines, default=None)
    end = _end(archived, timeline, facts)
    proved = newest(each for each in facts.covered if each.timeline == timeline and each.end <= end)
    report = WalReport(
        url=store.url,
        timeline=timeline,
        oldest=min(archived.segments, key=lambda segment: segment.number, default=None),
        end=end,
        proved=proved,
        segments=len(archived.segments),
        pieces=len(archived.pieces),
        superseded=len(superseded(archived)),
        continuity=continuity,
        window=_window(continuity, material.facts.backups, proved.at if proved else None),
        founded_at=catalog.repository.made_at,
    )
    return Looked(report, archived, material.system_identifier)


def _end(archived: Archived, timeline: Timeline | None, facts: ArchiveFacts) -> Lsn:
    """How far WAL reaches on the newest timeline, from its last whole segment on, or from where it begins."""
    if timeline is None:
        return Lsn(0)
    whole = [segment for segment in archived.segments if segment.timeline == timeline]
    pieces = [piece.segment for piece in archived.pieces if piece.segment.timeline == timeline]
    if whole or pieces:
        return tail(archived, timeline, max(whole) if whole else min(pieces)).end
    switches = facts.histories.get(timeline, ())
    return switches[-1].at if switches else Lsn(0)


def _window(continuity: Continuity, backups: Iterable[BackupFacts], end: datetime | None) -> Window | None:
    """From the oldest backup behind every gap on; a parent that is missing is the restore's to tell."""
    behind = max((gap.last.end for gap in continuity.gaps), default=Lsn(0))
    usable = [backup for backup in backups if backup.start >= behind]
    oldest = min(usable, key=lambda backup: backup.finished_at, default=None)
    return Window(backup=oldest.id, begin=oldest.finished_at, end=end) if oldest else None


async def read_deeply(
    store: ObjectStore, keyring: Keyring | None, looked: Looked, report: Callable[[int, int], None]
) -> tuple[Damage, ...]:
    """Read every segment and piece back, and compare each with its name; `report` is told how many of how many.

    Raises:
        ObjectStorageError: the store doesn't answer, or refuses.
        ConfigurationError: the key that something is encrypted with is not at hand.
    """
    deposit, slots = Deposit(store, Codec(keyring=keyring)), asyncio.Semaphore(READS_AT_A_TIME)
    todo: list[tuple[str, WalSegment | Piece]] = [(segment_key(each), each) for each in looked.archived.segments]
    todo += [(piece_key(each), each) for each in looked.archived.pieces]
    done = 0

    async def read(key: str, called: WalSegment | Piece) -> Damage | None:
        nonlocal done
        async with slots:
            found = await _read_one(deposit, key, called, int(looked.system_identifier))
        done += 1
        report(done, len(todo))
        return found

    found = await asyncio.gather(*(read(key, called) for key, called in sorted(todo, key=lambda each: each[0])))
    return tuple(damage for damage in found if damage is not None)


async def _read_one(deposit: Deposit, key: str, called: WalSegment | Piece, system: int) -> Damage | None:
    try:
        raw = await deposit.read(key)
    except ObjectNotFoundError as error:
        return None if await _made_way(deposit, called) else Damage(key, str(error))
    except ChecksumMismatchError as error:
        return Damage(key, str(error))
    judged = judge(called, raw, len(raw), system) if isinstance(called, WalSegment) else None
    return Damage(key, judged.reason) if isinstance(judged, Foreign) else None


async def _made_way(deposit: Deposit, called: WalSegment | Piece) -> bool:
    """Pieces go once their segment is there: a cluster that lives may have ended it since the listing."""
    return isinstance(called, Piece) and await deposit.store.head(segment_key(called.segment)) is not None

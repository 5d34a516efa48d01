"""Archives written by hand: a base backup and copied WAL, put through the codec, without the code that takes them."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from integration.client.servers import PASSWORD, Servers
from outlive.backup import codec
from outlive.backup.codec import Codec
from outlive.backup.keys import Keyring
from outlive.backup.layout import Kind
from outlive.backup.manifest import BackupManifest, DatabaseCounts
from outlive.backup.plan.archived import Archived, Piece, file_key, piece_key
from outlive.backup.plan.lineage import ArchiveFacts, Coverage
from outlive.backup.plan.recovery import BackupFacts, CatalogFacts, PointFacts
from outlive.backup.restoring.material import Material, StoredBackup
from outlive.backup.taking import counting
from outlive.model.lsn import Lsn, Timeline
from outlive.model.topology import Address
from outlive.model.wal import TimelineSwitch, WalSegment, is_history, is_segment, parse_history
from outlive.object_storage.store import ObjectStore
from outlive.postgres import identity, programs
from outlive.postgres.access import Access, Login

PROGRAMS = programs.directory(None)


def now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


@dataclass
class HandMade:
    """A store's content, as it grows."""

    store: ObjectStore
    keyring: Keyring | None = None
    backups: dict[str, BackupFacts] = field(default_factory=dict)
    stored: dict[str, StoredBackup] = field(default_factory=dict)
    segments: set[WalSegment] = field(default_factory=set)
    pieces: list[Piece] = field(default_factory=list)
    histories: dict[Timeline, tuple[TimelineSwitch, ...]] = field(default_factory=dict)
    points: dict[str, PointFacts] = field(default_factory=dict)
    covered: list[Coverage] = field(default_factory=list)
    counts: dict[str, tuple[DatabaseCounts, ...]] = field(default_factory=dict)
    system_identifier: str = ""

    def material(self) -> Material:
        """What a restore is made of."""
        tails = {piece.segment: Lsn(piece.segment.start + piece.end) for piece in self.pieces}
        archive = ArchiveFacts(
            segments=frozenset(self.segments),
            tails={segment: end for segment, end in tails.items() if segment not in self.segments},
            histories=self.histories,
            covered=tuple(self.covered),
        )
        keys = frozenset(key.id for key in self.keyring.keys) if self.keyring else frozenset()
        facts = CatalogFacts(backups=tuple(self.backups.values()), archive=archive, points=self.points, keys=keys)
        archived = Archived(segments=frozenset(self.segments), pieces=tuple(self.pieces))
        return Material(
            store=self.store,
            keyring=self.keyring,
            facts=facts,
            backups=self.stored,
            archived=archived,
            system_identifier=self.system_identifier,
        )

    def manifest(self, backup: str) -> BackupManifest:
        """What a backup's manifest would say."""
        facts = self.backups[backup]
        return BackupManifest(
            format=1,
            id=backup,
            kind=Kind.INCREMENTAL if facts.parent else Kind.FULL,
            system_identifier=self.system_identifier,
            postgres_version="18",
            timeline=facts.timeline,
            started_at=facts.finished_at,
            finished_at=facts.finished_at,
            from_node="n1",
            from_role="primary",
            objects=(),
            segment_bytes=1 << 24,
            outlive_version="0",
            parent=facts.parent,
            start_lsn=str(facts.start),
            end_lsn=str(facts.end),
            counts=self.counts.get(backup, ()),
        )

    async def count(self, servers: Servers, server: str, backup: str) -> None:
        """Count the rows as it is done at a backup's end."""
        access = Access(
            (Address("127.0.0.1", servers.ports[server]),),
            Login("postgres", PASSWORD),
            Login("postgres", PASSWORD),
            parameters=(("sslmode", "disable"),),
        )
        self.counts[backup] = await counting.count(access, access.addresses[0])
        self.corrected(backup, finished_at=now())

    async def put(self, key: str, raw: bytes) -> None:
        """Store an object of ours."""
        await self.store.put(key, codec.encode_bytes(raw, Codec(keyring=self.keyring), key))

    async def back_up(
        self, servers: Servers, name: str, backup: str, *, parent: str | None = None, spoil: bytes | None = None
    ) -> None:
        """Take a base backup of a server."""
        tar = spoil or base_backup(servers, name, None if parent is None else self.directory(servers, parent))
        key = f"backups/{backup}/base.tar"
        size = await self.store.upload(key, codec.encode(_once(tar), Codec(keyring=self.keyring), key))
        label = _member(tar, "backup_label").decode()
        manifest = _member(tar, "backup_manifest")
        (self.directory(servers, backup)).write_bytes(manifest)
        start = Lsn.parse(label.partition("START WAL LOCATION: ")[2].split()[0])
        timeline = Timeline(int(label.partition("START TIMELINE: ")[2].split()[0]))
        end = Lsn.parse(manifest.decode().rpartition('"End-LSN": "')[2].partition('"')[0])
        self.backups[backup] = BackupFacts(
            id=backup,
            timeline=timeline,
            start=start,
            end=end,
            finished_at=now(),
            parent=parent,
            key_id=self.keyring.writing.id if self.keyring else None,
            raw_bytes=len(tar),
        )
        self.stored[backup] = StoredBackup(key, size, 18)
        identifier = await servers.sql(name, "select system_identifier::text from pg_control_system()")
        self.system_identifier = str(identifier)

    @staticmethod
    def directory(servers: Servers, backup: str) -> Path:
        """Where a backup's manifest is kept for the next one."""
        return servers.root / f"{backup}.manifest"

    async def archive(self, servers: Servers, name: str, *, switch: bool = True) -> None:
        """Store all WAL of a server that is whole; after a switch, everything that was committed until now."""
        seen_at = now()
        if switch:
            await servers.sql(name, "select pg_switch_wal()")
        last = WalSegment.parse(str(await servers.sql(name, "select pg_walfile_name(pg_current_wal_lsn())")))
        for path in sorted((servers.root / name / "pg_wal").iterdir()):
            if is_history(path.name):
                timeline = Timeline(int(path.name[:8], 16))
                self.histories[timeline] = parse_history(timeline, path.read_text())
                await self.put(file_key(path.name), path.read_bytes())
            elif is_segment(path.name) and self._is_new(segment := WalSegment.parse(path.name), last):
                self.segments.add(segment)
                await self.put(file_key(path.name), path.read_bytes())
        # What somebody has written since, a checkpoint or a vacuum, is not stored: the last whole segment is the end.
        self.covered.append(Coverage(last.timeline, last.start, seen_at))

    def _is_new(self, segment: WalSegment, last: WalSegment) -> bool:
        return segment.number < last.number and segment.timeline <= last.timeline and segment not in self.segments

    async def stream(self, servers: Servers, name: str) -> None:
        """Store what the server has written of its current segment, in two pieces that overlap."""
        seen_at = now()
        await self.archive(servers, name, switch=False)
        self.covered.pop()
        segment = WalSegment.parse(str(await servers.sql(name, "select pg_walfile_name(pg_current_wal_lsn())")))
        flushed = Lsn.parse(str(await servers.sql(name, "select pg_current_wal_flush_lsn()::text")))
        content = (servers.root / name / "pg_wal" / segment.name).read_bytes()
        end = flushed - segment.start
        self.pieces = [piece for piece in self.pieces if piece.segment != segment]
        for piece in (Piece(segment, 0, end // 2), Piece(segment, end // 4, end)):
            self.pieces.append(piece)
            await self.put(piece_key(piece), content[piece.start : piece.end])
        self.covered.append(Coverage(segment.timeline, flushed, seen_at))

    async def point(self, servers: Servers, server: str, name: str) -> None:
        """Make a named restore point."""
        lsn = Lsn.parse(str(await servers.sql(server, f"select pg_create_restore_point('{name}')::text")))
        self.points[name] = PointFacts(name, lsn, Timeline(1))

    def lose(self, segment: WalSegment) -> None:
        """Let the store forget a segment without anybody noticing."""
        self.segments.discard(segment)

    def corrected(self, backup: str, **changes: object) -> None:
        """Change what the catalog says of a backup."""
        self.backups[backup] = replace(self.backups[backup], **changes)  # type: ignore[arg-type]


def base_backup(servers: Servers, name: str, incremental: Path | None = None) -> bytes:
    """A server's base backup as a tar."""
    arguments = [f"--incremental={incremental}"] if incremental else []
    line, options = identity.command(
        servers._identity,
        [str(PROGRAMS / "pg_basebackup"), "-h", "127.0.0.1", "-p", str(servers.ports[name]), "-U", "postgres",
         "-D", "-", "-F", "tar", "-X", "fetch", "-c", "fast", *arguments],
    )  # fmt: skip
    environment = {**os.environ, "PGPASSWORD": PASSWORD}
    done = subprocess.run(line, check=True, capture_output=True, cwd="/", env=environment, timeout=300, **options)
    return bytes(done.stdout)


def _member(tar: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        content = archive.extractfile(name)
        assert content is not None
        return bytes(content.read())


async def _once(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1 << 20):
        yield content[start : start + (1 << 20)]

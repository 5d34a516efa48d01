"""The node's own pg_wal: which files wait to be archived, and what is in them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from outlive.backup.plan.wal_page import HEADER_BYTES, FirstPage, Foreign, judge, read_first_page
from outlive.errors import BackupError
from outlive.model.lsn import Timeline
from outlive.model.wal import (
    DEFAULT_SEGMENT_BYTES,
    TimelineSwitch,
    WalSegment,
    is_backup_history,
    is_history,
    is_partial,
    is_segment,
    parse_history,
)

FILE_LIMIT_BYTES = 1 << 30
"""The largest segment that PostgreSQL can be made with."""


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Tells a file from another one that later has its name."""

    inode: int
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class WalFile:
    """A file of pg_wal, read whole. `first_page` where it is a segment, whole or partial."""

    name: str
    raw: bytes
    digest: str
    identity: FileIdentity
    first_page: FirstPage | None


@dataclass(frozen=True, slots=True)
class WalFiles:
    """pg_wal below the data directory `data`."""

    data: Path

    def path(self, name: str) -> Path:
        """Where a file lies.

        Raises:
            BackupError: no file of WAL is called so.
        """
        if not (is_segment(name) or is_history(name) or is_backup_history(name) or is_partial(name)):
            raise BackupError(f"{name[:80]!r} names no file of WAL")
        return self.data / "pg_wal" / name

    def ready(self) -> list[str]:
        """What PostgreSQL wants archived, in the order in which it will ask: histories first, then by name."""
        try:
            marks = [entry.name for entry in os.scandir(self.data / "pg_wal" / "archive_status")]
        except FileNotFoundError:
            return []
        names = [name.removesuffix(".ready") for name in marks if name.endswith(".ready")]
        return sorted(names, key=lambda name: (not is_history(name), name))

    def identity(self, name: str) -> FileIdentity | None:
        """Which file has this name now; None if none has."""
        try:
            return _identity(self.path(name).stat())
        except FileNotFoundError:
            return None

    def read(self, name: str, system_identifier: int | None) -> WalFile:
        """The whole file, once it is sure to be what it is called.

        Raises:
            BackupError: it is not there, or not the segment that its name says.
        """
        path = self.path(name)
        try:
            with path.open("rb") as file:
                identity = _identity(os.fstat(file.fileno()))
                raw = file.read(FILE_LIMIT_BYTES)
        except OSError as error:
            raise BackupError(f"{path} can't be read: {error.strerror}") from error
        page = _judged(name, raw, system_identifier) if is_segment(name) or is_partial(name) else None
        return WalFile(name, raw, hashlib.sha256(raw).hexdigest(), identity, page)

    def read_part(self, segment: WalSegment, start: int, end: int) -> bytes | None:
        """Bytes of the segment that is being written; None if PostgreSQL took its file away meanwhile."""
        path = self.path(segment.name)
        try:
            with path.open("rb") as file:
                part = os.pread(file.fileno(), end - start, start)
                same = path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return None
        return part if same and len(part) == end - start else None

    def first_page(self, segment_name: str) -> FirstPage | None:
        """What the file of that segment says of itself; None if it is no segment, or not there."""
        try:
            with self.path(segment_name).open("rb") as file:
                page = read_first_page(file.read(HEADER_BYTES))
        except FileNotFoundError:
            return None
        return page if isinstance(page, FirstPage) else None

    def any_page(self) -> FirstPage | None:
        """What some segment says of the cluster: its identifier, and how large segments are; None if none is there."""
        names = sorted(entry.name for entry in os.scandir(self.data / "pg_wal") if is_segment(entry.name))
        return next((page for name in names if (page := self.first_page(name)) is not None), None)

    def newest_history(self) -> tuple[Timeline, tuple[TimelineSwitch, ...]]:
        """The newest timeline that this server has heard of, and what led to it.

        Raises:
            ValueError: its history is none.
        """
        names = sorted(entry.name for entry in os.scandir(self.data / "pg_wal") if is_history(entry.name))
        if not names:
            return Timeline(1), ()
        timeline = Timeline(int(names[-1][:8], 16))
        return timeline, parse_history(timeline, self.path(names[-1]).read_text())

    def lay(self, segment_name: str, raw: bytes) -> None:
        """Put a segment there whole and durable, in the place of what the server had of it."""
        path = self.path(segment_name)
        partial = path.with_name(f"xlogtemp.outlive.{segment_name}")  # PostgreSQL removes such files at its start
        with partial.open("wb") as file:
            partial.chmod(0o600)
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _identity(stat: os.stat_result) -> FileIdentity:
    return FileIdentity(stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _judged(name: str, raw: bytes, system_identifier: int | None) -> FirstPage:
    page = read_first_page(raw)
    size_bytes = page.segment_bytes if isinstance(page, FirstPage) else DEFAULT_SEGMENT_BYTES
    try:
        segment = WalSegment.parse(name.removesuffix(".partial"), size_bytes)
    except ValueError as error:
        raise BackupError(str(error)) from None
    judged = judge(segment, raw, len(raw), system_identifier)
    if isinstance(judged, Foreign):
        raise BackupError(f"the file {name} is not that segment: {judged.reason}")
    return judged

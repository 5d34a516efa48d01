"""How backups are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

import msgspec

from outlive import system
from outlive.backup.catalog import Catalog
from outlive.backup.manifest import BackupManifest
from outlive.backup.taking.progress import Progress
from outlive.backup.taking.request import Step

LINE_EVERY_S = 5.0
_COLUMNS = ("backup", "from", "timeline", "holds", "stored", "took", "encrypted", "verified", "kept")
STEPS = {
    Step.CHOOSE: "choosing the server",
    Step.RESERVE: "reserving an ID",
    Step.SEND: "sending",
    Step.CHECK: "checking that no failover happened",
    Step.COUNT: "counting rows",
    Step.PUBLISH: "writing the manifest",
}


class ProgressLine:
    """One line that is written over on a terminal, a line every few seconds elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._last = 0.0
        self._open = False

    def show(self, now: Progress) -> None:
        """Tell how far it is."""
        if self._live:
            self._stream.write(f"\r\x1b[K{progress_text(now)}")
            self._open = True
        elif system.monotonic() - self._last >= LINE_EVERY_S:
            self._last = system.monotonic()
            self._stream.write(f"outlive: {progress_text(now)}\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._open:
            self._stream.write("\n")
            self._open = False


def progress_text(now: Progress) -> str:
    """`312 MB of 900 MB (35 %), 101 MB/s, 96 MB stored, 6 s left`."""
    parts = [size(now.done_bytes)]
    if now.total_bytes:
        # The estimate is made before the WAL of the backup is known.
        share = min(99, 100 * now.done_bytes // now.total_bytes)
        parts[0] += f" of {size(now.total_bytes)} ({share} %)"
    parts += [f"{size(int(now.bytes_per_s))}/s", f"{size(now.stored_bytes)} stored"]
    if now.left_s is not None:
        parts.append(f"{now.left_s:.0f} s left")
    return ", ".join(parts)


def size(count: int) -> str:
    """Bytes for people."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def as_json(manifest: BackupManifest, catalog: Catalog | None = None) -> dict[str, Any]:
    """The manifest and what follows from it."""
    found: dict[str, Any] = msgspec.to_builtins(manifest)
    found |= {"stored_bytes": manifest.stored_bytes, "raw_bytes": manifest.raw_bytes}
    if catalog is not None:
        found["verified_at"] = catalog.verified_at.get(manifest.id)
        found["keeps"] = [keep.name for keep in catalog.keeps if keep.backup == manifest.id]
    return found


def catalog_json(catalog: Catalog) -> dict[str, Any]:
    """Everything in the catalog."""
    return {
        "system_identifier": catalog.repository.system_identifier if catalog.repository else None,
        "backups": [as_json(each, catalog) for each in catalog.backups],
        "unfinished": list(catalog.unfinished),
        "damaged": [{"key": each.key, "reason": each.reason} for each in catalog.damaged],
        "points": [msgspec.to_builtins(each) for each in catalog.points],
    }


def taken(manifest: BackupManifest) -> str:
    """What is said of a backup that was just taken."""
    seconds = sum(manifest.durations.values())
    return (
        f"{manifest.id}: {size(manifest.raw_bytes)} from {manifest.from_role} {manifest.from_node}, "
        f"{size(manifest.stored_bytes)} stored in {seconds:.1f} s"
    )


def catalog_text(catalog: Catalog) -> str:
    """A table, and what is wrong under it."""
    if not catalog.backups and not catalog.unfinished and not catalog.damaged:
        return "There is no backup yet; `outlive backup create` takes one."
    lines = aligned([_COLUMNS, *(_cells(each, catalog) for each in catalog.backups)])
    lines += [
        f"{each}: unfinished, no backup; it is being taken, or `outlive backup prune` removes it"
        for each in catalog.unfinished
    ]
    lines += [f"{each.key}: damaged: {each.reason}" for each in catalog.damaged]
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal length as lines, never cut, whatever the terminal's width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def details(manifest: BackupManifest, catalog: Catalog) -> str:
    """One backup, a line for each thing."""
    verified = catalog.verified_at.get(manifest.id)
    lines = [
        ("backup", manifest.id),
        ("based on", manifest.parent or "nothing: it is whole by itself"),
        ("cluster", manifest.system_identifier),
        ("PostgreSQL", manifest.postgres_version),
        ("from", f"{manifest.from_role} {manifest.from_node}"),
        ("taken", f"{manifest.started_at:%Y-%m-%d %H:%M:%S} to {manifest.finished_at:%Y-%m-%d %H:%M:%S} UTC"),
        (
            "WAL",
            f"timeline {manifest.timeline}, {manifest.start_lsn} to {manifest.end_lsn}" if manifest.start_lsn else "-",
        ),
        ("holds", f"{size(manifest.raw_bytes)}, {size(manifest.stored_bytes)} stored"),
        ("encrypted", f"with key {manifest.key_id}" if manifest.key_id else "no"),
        ("seconds", ", ".join(f"{step} {seconds:.1f}" for step, seconds in manifest.durations.items())),
        ("verified", f"{verified:%Y-%m-%d %H:%M:%S} UTC" if verified else "never restored yet"),
        ("kept by", ", ".join(keep.name for keep in catalog.keeps if keep.backup == manifest.id) or "-"),
    ]
    lines += [("note", note) for note in manifest.notes]
    for counts in manifest.counts:
        rows = sum(table.rows for table in counts.tables.values())
        lines.append((f"database {counts.database}", f"{len(counts.tables)} tables, {rows} rows"))
    return "\n".join(f"{name:<12} {value}" for name, value in lines)


def _wal(manifest: BackupManifest) -> str:
    if manifest.start_lsn is None:
        return "none: its rows are those of one snapshot"
    return f"timeline {manifest.timeline}, {manifest.start_lsn} to {manifest.end_lsn}"


def _cells(each: BackupManifest, catalog: Catalog) -> tuple[str, ...]:
    verified = catalog.verified_at.get(each.id)
    return (
        each.id,
        each.from_role,
        str(each.timeline),
        size(each.raw_bytes),
        size(each.stored_bytes),
        f"{(each.finished_at - each.started_at).total_seconds():.0f} s",
        each.key_id or "no",
        f"{verified:%Y-%m-%d}" if verified else "never",
        ", ".join(keep.name for keep in catalog.keeps if keep.backup == each.id),
    )

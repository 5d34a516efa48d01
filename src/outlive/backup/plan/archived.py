"""What an archive of WAL holds, read off the names in the store alone.

Theory of operation. `wal/TTTTTTTT/` holds a timeline's whole segments, and the last one of a timeline that was left
(`SEGMENT.partial`); `wal/TTTTTTTT/tail/` the pieces of the segment that is being written (`SEGMENT.START-END`,
offsets in the segment, the end exclusive). Timelines' histories lie in `wal/`. Everything that has no place there is
told as strange: a name that is nobody's, a segment in the folder of another timeline, an object too small to be one.

Pieces may overlap: an archiver that starts again begins at the segment's start. What they cover is found by walking
them in order of their starts for as long as the next one starts no later than what is covered so far.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, WalSegment, is_history

PREFIX = "wal/"
BACKUP_HISTORIES = "wal/backups/"
SMALLEST_OBJECT_BYTES = 32
"""A frame of ours has a header; anything below this was cut short."""
_PIECE = re.compile(r"([0-9A-F]{24})\.([0-9A-F]{8})-([0-9A-F]{8})")


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """Bytes `start` to `end` (exclusive) of a segment that was not whole yet."""

    segment: WalSegment
    start: int
    end: int

    @property
    def name(self) -> str:
        """As it is called within its timeline's folder."""
        return f"{self.segment.name}.{self.start:08X}-{self.end:08X}"


@dataclass(frozen=True, slots=True)
class Archived:
    """What a listing of `wal/` holds. `histories` are timelines whose history file is there."""

    segments: frozenset[WalSegment] = frozenset()
    pieces: tuple[Piece, ...] = ()
    partials: frozenset[WalSegment] = frozenset()
    histories: frozenset[Timeline] = frozenset()
    strange: tuple[str, ...] = ()

    @property
    def timelines(self) -> tuple[Timeline, ...]:
        """Every timeline that anything is kept of, in order."""
        kept = {segment.timeline for segment in self.segments} | {piece.segment.timeline for piece in self.pieces}
        return tuple(sorted(kept | self.histories))


def segment_key(segment: WalSegment) -> str:
    """Where a whole segment lies in the store."""
    return f"{PREFIX}{segment.timeline:08X}/{segment.name}"


def piece_key(piece: Piece) -> str:
    """Where a piece lies in the store."""
    return f"{tail_folder(piece.segment.timeline)}{piece.name}"


def tail_folder(timeline: Timeline) -> str:
    """Where a timeline's pieces lie."""
    return f"{PREFIX}{timeline:08X}/tail/"


def mark_key(timeline: Timeline) -> str:
    """Where a primary says how far the store reaches while nothing is written: `{end, at, node}` in plain JSON."""
    return f"commits/{timeline:08X}.json"


def file_key(name: str) -> str:
    """Where a file of `pg_wal` of that name lies in the store: segments, `.partial`, `.history`, `.backup`."""
    if is_history(name):
        return f"{PREFIX}{name}"
    return f"{BACKUP_HISTORIES}{name}" if name.endswith(".backup") else f"{PREFIX}{name[:8]}/{name}"


def read_listing(listing: Iterable[tuple[str, int]], segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> Archived:
    """Sort the keys under `wal/`, each with its size in bytes, into what they are."""
    sorted_into = _Sorting(segment_bytes)
    for key, size_bytes in listing:
        if not sorted_into.take(key, size_bytes):
            sorted_into.strange.append(key)
    return Archived(
        segments=frozenset(sorted_into.segments),
        pieces=tuple(sorted(sorted_into.pieces)),
        partials=frozenset(sorted_into.partials),
        histories=frozenset(sorted_into.histories),
        strange=tuple(sorted(sorted_into.strange)),
    )


class _Sorting:
    def __init__(self, segment_bytes: int) -> None:
        self.segment_bytes = segment_bytes
        self.segments: list[WalSegment] = []
        self.pieces: list[Piece] = []
        self.partials: list[WalSegment] = []
        self.histories: list[Timeline] = []
        self.strange: list[str] = []

    def take(self, key: str, size_bytes: int) -> bool:
        """Whether the key has a place in an archive."""
        name = key.removeprefix(PREFIX)
        if size_bytes < SMALLEST_OBJECT_BYTES or name == key:
            return False
        if is_history(name):
            self.histories.append(Timeline(int(name[:8], 16)))
            return True
        folder, _, name = name.partition("/")
        if folder == "backups":
            return name.endswith(".backup")
        in_tail, name = name.startswith("tail/"), name.removeprefix("tail/")
        return name[:8] == folder and self._take_wal(name, in_tail=in_tail)

    def _take_wal(self, name: str, *, in_tail: bool) -> bool:
        whole, _, kind = name.partition(".")
        try:
            segment = WalSegment.parse(whole, self.segment_bytes)
        except ValueError:
            return False
        if in_tail:
            return self._take_piece(segment, name)
        if kind not in ("", "partial"):
            return False
        (self.partials if kind else self.segments).append(segment)
        return True

    def _take_piece(self, segment: WalSegment, name: str) -> bool:
        match = _PIECE.fullmatch(name)
        if match is None:
            return False
        start, end = int(match[2], 16), int(match[3], 16)
        if not 0 <= start < end <= segment.size_bytes:
            return False
        self.pieces.append(Piece(segment, start, end))
        return True


def coverage(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """The fewest pieces of one segment, in order, that cover it from its start without a hole; maybe none."""
    chosen: list[Piece] = []
    covered = 0
    waiting = sorted(pieces, key=lambda piece: piece.start)
    while reach := [piece for piece in waiting if piece.start <= covered < piece.end]:
        longest = max(reach, key=lambda piece: piece.end)
        chosen.append(longest)
        covered = longest.end
    return tuple(chosen)


def covered_bytes(pieces: Iterable[Piece]) -> int:
    """How much of one segment, from its start, the pieces cover."""
    chosen = coverage(pieces)
    return chosen[-1].end if chosen else 0


def superseded(archived: Archived) -> tuple[Piece, ...]:
    """The pieces of segments that are there as a whole: nobody needs them any more."""
    return tuple(piece for piece in archived.pieces if piece.segment in archived.segments)


def pieces_by_segment(archived: Archived) -> Mapping[WalSegment, tuple[Piece, ...]]:
    """The pieces of each segment that is not there as a whole."""
    found: dict[WalSegment, list[Piece]] = defaultdict(list)
    for piece in archived.pieces:
        if piece.segment not in archived.segments:
            found[piece.segment].append(piece)
    return {segment: tuple(pieces) for segment, pieces in found.items()}


@dataclass(frozen=True, slots=True)
class Tail:
    """How far the newest WAL of a timeline reaches without a hole: whole segments first, then pieces."""

    timeline: Timeline
    end: Lsn
    pieces: tuple[Piece, ...] = ()


def tail(archived: Archived, timeline: Timeline, start: WalSegment) -> Tail:
    """How far WAL reaches on `timeline`, read on from the segment `start`; its start if even that is not there."""
    by_segment = pieces_by_segment(archived)
    segment, chosen = start, list[Piece]()
    for _ in range(len(archived.segments) + len(by_segment) + 1):
        if segment in archived.segments:
            segment, chosen = segment.next(), []
            continue
        pieces = coverage(by_segment.get(segment, ()))
        chosen.extend(pieces)
        if not pieces or pieces[-1].end < segment.size_bytes:
            return Tail(timeline, Lsn(segment.start + (pieces[-1].end if pieces else 0)), tuple(chosen))
        segment = segment.next()
    return Tail(timeline, segment.start, tuple(chosen))

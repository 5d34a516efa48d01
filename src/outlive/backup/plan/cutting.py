"""How flushed WAL is cut into what goes to the store on its own.

Theory of operation. What is left of a finished segment goes as the whole segment when that is most of it: PostgreSQL
asks for it anyway, so nothing is sent twice. Everything else goes as pieces, each small enough to be read, compressed
and put while others are. All of them may be under way at once; they prove something in the order of the WAL only.

Invariant: the cuts cover position to flushed without a hole, in order; none reaches into another segment, none but a
whole segment is larger than `PIECE_LIMIT_BYTES`, and none but a whole segment begins before the position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from outlive.backup.plan.archived import Piece
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import WalSegment

PIECE_LIMIT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Whole:
    """A finished segment, which PostgreSQL asks for too."""

    segment: WalSegment


Cut = Piece | Whole


def cuts(timeline: Timeline, position: Lsn, flushed: Lsn, segment_bytes: int) -> Iterator[Cut]:
    """What brings the store from `position` up to `flushed`, in order."""
    while position < flushed:
        segment = WalSegment.of(timeline, position, segment_bytes)
        if segment.end <= flushed and segment.end - position > PIECE_LIMIT_BYTES:
            cut: Cut = Whole(segment)
        else:
            end = min(flushed, segment.end, Lsn(position + PIECE_LIMIT_BYTES))
            cut = Piece(segment, position - segment.start, end - segment.start)
        yield cut
        position = end_of(cut)


def end_of(cut: Cut) -> Lsn:
    """The first byte of WAL behind it."""
    match cut:
        case Piece(segment, _, end):
            return Lsn(segment.start + end)
        case Whole(segment):
            return segment.end

"""What `wal check` says of damaged archives, case by case."""

from __future__ import annotations

import pytest

from outlive.backup.plan.archived import Archived, Piece, read_listing, superseded, tail
from outlive.backup.plan.gaps import Gap, HistoryMissing, find
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import TimelineSwitch, WalSegment

SIZE = 16 * 1024 * 1024
ONE, TWO = Timeline(1), Timeline(2)


def at(number: int, timeline: Timeline = ONE) -> WalSegment:
    """The segment at that place."""
    return WalSegment(timeline, number, SIZE)


def stored(*names: str, size_bytes: int = 5000) -> Archived:
    """An archive of objects with these keys under `wal/`."""
    return read_listing([(f"wal/{name}", size_bytes) for name in names], SIZE)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("wal/00000002/000000010000000000000003", id="in another timeline's folder"),
        pytest.param("wal/00000001/000000010000000000000003.copy", id="a doubled one under another name"),
        pytest.param("wal/00000001/0000000100000000000000zz", id="no segment's name"),
        pytest.param("wal/00000001/000000010000000000000100", id="beyond the last segment of 4 GiB"),
        pytest.param("wal/00000001/tail/000000010000000000000003.00000010-00000010", id="an empty piece"),
        pytest.param("wal/00000001/tail/000000010000000000000003.00000000-01000001", id="a piece beyond the segment"),
        pytest.param("wal/notes.txt", id="a foreign file"),
    ],
)
def test_a_name_that_has_no_place_is_told(key: str) -> None:
    """Foreign, doubled and misplaced objects are named, and count as nothing."""
    archived = read_listing([(key, 5000)], SIZE)
    assert archived == Archived(strange=(key,))


def test_an_object_that_was_cut_short_counts_as_missing() -> None:
    """An empty object under a segment's name is told, and the segment is a gap."""
    whole = [(f"wal/00000001/{at(number).name}", 5000) for number in (3, 5)]
    archived = read_listing([*whole, (f"wal/00000001/{at(4).name}", 0)], SIZE)
    found = find(archived, {}, SIZE)
    assert found.gaps == (Gap(at(4), at(4)),)
    assert found.strange == (f"wal/00000001/{at(4).name}",)


def test_a_parent_has_to_reach_its_fork() -> None:
    """Where a timeline begins behind the end of its parent, the stretch between is missing from the parent."""
    archived = Archived(segments=frozenset({at(3), at(7, TWO)}), histories=frozenset({TWO}))
    histories = {TWO: (TimelineSwitch(TWO, ONE, Lsn(6 * SIZE + 512)),)}
    assert find(archived, histories, SIZE).gaps == (Gap(at(4), at(5)), Gap(at(6, TWO), at(6, TWO)))


def test_a_missing_history_is_named() -> None:
    """A timeline without its history can't be recovered to."""
    assert find(Archived(segments=frozenset({at(3, TWO)})), {}, SIZE).histories == (HistoryMissing(TWO),)


def test_a_place_covered_by_pieces_is_no_gap() -> None:
    """Streamed pieces stand for their segment as long as they cover it whole."""
    pieces = (Piece(at(4), 0, 9000), Piece(at(4), 8192, SIZE))
    assert find(Archived(frozenset({at(3), at(5)}), pieces), {}, SIZE).whole
    assert find(Archived(frozenset({at(3), at(5)}), pieces[1:]), {}, SIZE).gaps == (Gap(at(4), at(4)),)


def test_the_tail_goes_on_in_pieces() -> None:
    """WAL reaches through whole segments and whole runs of pieces to the end of the last piece."""
    pieces = (Piece(at(5), 0, SIZE), Piece(at(6), 0, 8192), Piece(at(6), 8192, 9000), Piece(at(6), 10_000, 11_000))
    reached = tail(Archived(frozenset({at(4)}), pieces), ONE, at(4))
    assert reached.end == Lsn(6 * SIZE + 9000)
    assert reached.pieces == pieces[:3]


def test_pieces_of_a_whole_segment_are_superseded() -> None:
    """Once the segment is there, its pieces are needed by nobody."""
    archived = stored(f"00000001/{at(4).name}", f"00000001/tail/{at(4).name}.00000000-00002000")
    assert superseded(archived) == archived.pieces

"""Names that PostgreSQL gives, and names that it doesn't."""

from __future__ import annotations

import pytest

from outlive.model import wal
from outlive.model.lsn import Lsn, Timeline
from outlive.model.wal import TimelineSwitch, WalSegment, parse_history

MIB = 1 << 20


@pytest.mark.parametrize(
    ("lsn", "size", "name"),
    [
        ("0/1000000", 16 * MIB, "000000010000000000000001"),
        ("16/B374D848", 16 * MIB, "0000000100000016000000B3"),
        ("1/0", 16 * MIB, "000000010000000100000000"),
        ("0/FF000000", 16 * MIB, "0000000100000000000000FF"),
        ("2/40000000", 1024 * MIB, "000000010000000200000001"),
        ("0/100000", MIB, "000000010000000000000001"),
    ],
)
def test_names_are_postgresqls(lsn: str, size: int, name: str) -> None:
    """`pg_walfile_name` gives the same."""
    assert WalSegment.of(Timeline(1), Lsn.parse(lsn), size).name == name


@pytest.mark.parametrize(
    "name",
    [
        "", "00000001000000000000000", "0000000100000000000000a3", "000000010000000000000100",
        "000000000000000000000001", "00000001.history", "000000010000000000000001.partial",
    ],
)  # fmt: skip
def test_what_is_no_segment_is_refused(name: str) -> None:
    """Another name, a number beyond the size's, timeline zero."""
    with pytest.raises(ValueError, match="not the name of a WAL segment"):
        WalSegment.parse(name)


def test_kinds_of_files() -> None:
    """Each file of pg_wal is of one kind."""
    kinds = (wal.is_segment, wal.is_history, wal.is_backup_history, wal.is_partial)
    names = {
        "0000000100000000000000A3": wal.is_segment,
        "00000002.history": wal.is_history,
        "0000000100000000000000A3.00000028.backup": wal.is_backup_history,
        "0000000100000000000000A3.partial": wal.is_partial,
    }
    for name, kind in names.items():
        assert [each for each in kinds if each(name)] == [kind]
    assert not any(each("archive_status") or each("../0000000100000000000000A3") for each in kinds)


def test_a_history_of_two_failovers() -> None:
    """As PostgreSQL writes it, with comments, reasons and blank lines."""
    text = "# a comment\n1\t0/A000198\tno recovery target specified\n\n2\t0/B0000A0\tbefore 2026-11-24 22:50:00+00\n"
    assert parse_history(Timeline(3), text) == (
        TimelineSwitch(Timeline(2), Timeline(1), Lsn.parse("0/A000198")),
        TimelineSwitch(Timeline(3), Timeline(2), Lsn.parse("0/B0000A0")),
    )


@pytest.mark.parametrize("text", ["", "x\t0/1\n", "1\n", "1\t0-1\n", "3\t0/1\n", "2\t0/1\n1\t0/2\n"])
def test_what_is_no_history_is_refused(text: str) -> None:
    """Empty, cut, out of order, or of a timeline that comes later."""
    with pytest.raises(ValueError, match="not "):
        parse_history(Timeline(3), text)

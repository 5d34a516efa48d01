"""The ledger keeps what was written, whatever becomes of the writer."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from outlive.demo.ledger import ConversationCompleted, Ledger, LedgerReader, read_entry
from outlive.errors import OutliveError
from outlive.history import LlmPaid, ToolExecuted, ToolFinished, TurnAcknowledged


def test_every_event_comes_back(tmp_path: Path) -> None:
    """What is written is read as the checker's own operations, in order."""
    with Ledger(tmp_path / "a.jsonl") as ledger:
        ledger.paid("c", "turn-1", Decimal("0.0000125"))
        ledger.executed("c", "call-2")
        ledger.finished("c", "call-2", "d2")
        ledger.acknowledged("c", "turn-1", 1, "d1")
        ledger.completed("c")
    match list(LedgerReader(tmp_path).new_entries()):
        case [LlmPaid() as paid, ToolExecuted() as run, ToolFinished() as end, TurnAcknowledged() as ack, completed]:
            assert isinstance(completed, ConversationCompleted)
            assert paid.dollars == Decimal("0.0000125")
            assert (run.key, end.key, end.digest) == ("call-2", "call-2", "d2")
            assert (ack.turn, ack.position, ack.digest) == ("turn-1", 1, "d1")
            assert paid.at <= run.at <= end.at <= ack.at <= completed.at
        case entries:
            pytest.fail(f"read {entries}")


def test_a_reader_sees_each_line_once_as_files_grow(tmp_path: Path) -> None:
    """Progress is read while the workers write."""
    reader = LedgerReader(tmp_path)
    with Ledger(tmp_path / "a.jsonl") as ledger:
        ledger.completed("one")
        assert [entry.conversation for entry in reader.new_entries()] == ["one"]
        assert list(reader.new_entries()) == []
        ledger.completed("two")
        with Ledger(tmp_path / "b.jsonl") as other:
            other.completed("three")
        assert [entry.conversation for entry in reader.new_entries()] == ["two", "three"]


def test_a_line_cut_short_is_no_line(tmp_path: Path) -> None:
    """What a process was killed in the middle of writing was never said."""
    with Ledger(tmp_path / "a.jsonl") as ledger:
        ledger.completed("one")
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b'{"event": "completed", "conv')
    assert [entry.conversation for entry in LedgerReader(tmp_path).new_entries()] == ["one"]


def test_a_foreign_line_is_refused() -> None:
    """Nothing is verified against a file that is no ledger."""
    with pytest.raises(OutliveError, match="none of its own"):
        read_entry({"event": "hello"})


def test_the_ledger_is_its_owner_s_alone(tmp_path: Path) -> None:
    """It names conversations, so nobody else may read it."""
    Ledger(tmp_path / "a.jsonl").close()
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o777 == 0o600

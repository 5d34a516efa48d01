"""The figures that a program reads."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec

from outlive.backup.proving.evidence import FAILED, VERIFIED, Evidence
from outlive.demo.environment import Fault
from outlive.demo.mishap import Mishap
from outlive.demo.report import Report, write_json
from outlive.history import LostTurn, Verdict
from outlive.model.lsn import Timeline

CLEAN = Verdict(
    acknowledged=10,
    tool_calls=2,
    tool_calls_rerun=1,
    conversations=3,
    conversations_complete=3,
    llm_cost_usd=Decimal("1.23456789"),
    llm_cost_lost_usd=Decimal("0.01"),
    anomalies=(),
)


def test_the_json_has_exactly_these_keys(tmp_path: Path) -> None:
    """Programs depend on them."""
    write_json(Report(CLEAN, 0.5049, Fault.NONE, None, None, 1.0), tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "acknowledged": 10,
        "lost": 0,
        "duplicated": 0,
        "tool_calls_repeated": 0,
        "write_outage_s": 0.505,
        "conversations": 3,
        "conversations_complete": 3,
        "llm_cost_usd": 1.234568,
        "llm_cost_lost_usd": 0.01,
        "ok": True,
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_a_broken_promise_is_said_first() -> None:
    """The proof of each anomaly is printed, up to ten of them."""
    lost = tuple(LostTurn("c", f"turn-{n}", n) for n in range(12))
    report = Report(replace(CLEAN, anomalies=lost), 0.5, Fault.NONE, None, None, 1.0)
    assert report.notes()[0] == "c: turn turn-0 was acknowledged at position 0 and is not there"
    assert report.notes()[10] == "and 2 anomalies more"
    assert report.conclusion() == "A promise was broken: 12 anomalies."


def test_no_work_proves_nothing() -> None:
    """Zero acknowledged turns are not a success."""
    report = Report(replace(CLEAN, acknowledged=0), 0.0, Fault.NONE, None, None, 0.0)
    assert not report.ok
    assert report.conclusion() == "Nothing is proved: no work was acknowledged."


def test_a_fault_that_came_too_late_is_admitted() -> None:
    """A promise that was not put to the test is not said to have been."""
    report = Report(CLEAN, 0.0, Fault.NODE, None, None, 0.0)
    notes = report.notes()
    assert not report.ok
    assert report.conclusion() == "Nothing is proved: the fault never came."
    assert any("before the fault could be injected" in note for note in notes)


def test_a_backup_that_did_not_hold_turns_it_red() -> None:
    """What the restore test complains of is said first, and the figures are there either way."""
    evidence = Evidence(
        status=FAILED,
        at=datetime(2026, 11, 24, tzinfo=UTC),
        backup="20261124T225000Z-full",
        chain=("20261124T225000Z-full",),
        target="latest",
        timeline=Timeline(2),
        outlive_version="0",
        recovered_to="0/5000000",
        last_commit_at=None,
        seconds={"fetch": 1.0, "total": 9.25},
        tables=3,
        rows=10,
        compared=True,
        checks={"ledger": 1},
        complaints=("1 of 10 acknowledged operations are missing: c turn-0",),
    )
    report = Report(CLEAN, 0.5, Fault.NONE, None, None, 1.0, Mishap("c", 0.31, evidence))
    assert not report.ok
    assert report.notes()[0] == "1 of 10 acknowledged operations are missing: c turn-0"
    assert report.conclusion().startswith("A promise was broken")
    figures = report.to_json()
    assert (figures["store_behind_s"], figures["restore_s"], figures["verified"]) == (0.31, 9.25, False)
    proven = replace(
        report, mishap=Mishap("c", 0.31, msgspec.structs.replace(evidence, status=VERIFIED, complaints=()))
    )
    assert proven.ok

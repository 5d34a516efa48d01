"""The demo's ledger in the words of a restore test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from outlive.demo.mishap import ledger
from outlive.history import LlmPaid, TurnAcknowledged

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_acknowledged_turns_are_operations_at_the_moment_they_were_acknowledged_first() -> None:
    """A turn that several workers were told of counts once, from the first time on; what is no turn does not count."""
    told = ledger(
        [
            TurnAcknowledged("c", "turn-0", 0, "d", at=90.0),
            TurnAcknowledged("c", "turn-0", 0, "d", at=95.0),
            LlmPaid("c", "turn-1", dollars=Decimal(1), at=96.0),
            TurnAcknowledged("c", "turn-1", 1, "d", at=97.5),
        ],
        "agents",
        now=100.0,
        now_utc=NOW,
    )
    assert told.database == "agents"
    assert [(each.id, each.acknowledged_at) for each in told.operations] == [
        ("c turn-0", NOW - timedelta(seconds=10)),
        ("c turn-1", NOW - timedelta(seconds=2.5)),
    ]

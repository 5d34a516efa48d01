"""Whether a promised window is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from outlive.backup.plan.window import shortfall

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def ago(days: float) -> datetime:
    """That long before now."""
    return NOW - timedelta(days=days)


@pytest.mark.parametrize(
    ("begin", "founded", "said"),
    [
        (ago(15), 100, None),
        (ago(13), 100, "the oldest is of 2026-11-12 00:00 UTC"),
        (ago(3), 4, None),
        (None, 4, "no moment can be restored to"),
    ],
)
def test_a_window_is_kept_or_what_is_lacking_is_told(begin: datetime | None, founded: float, said: str | None) -> None:
    """A young store is not blamed for its age, but for having no backup."""
    found = shortfall(begin, timedelta(days=14), ago(founded), NOW)
    assert found is None if said is None else said in (found or "")

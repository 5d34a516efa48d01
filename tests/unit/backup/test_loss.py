"""What would be lost, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from outlive.backup.plan.lineage import Coverage
from outlive.backup.plan.loss import Loss, PrimaryEnd, Unproved, measure, newest
from outlive.model.lsn import Lsn, Timeline

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
ONE, TWO = Timeline(1), Timeline(2)


def said(seconds_ago: float, *, timeline: Timeline = ONE, end: int = 1000) -> Coverage:
    """A word that an archiver left in the store."""
    return Coverage(timeline, Lsn(end), NOW - timedelta(seconds=seconds_ago))


@pytest.mark.parametrize(
    ("proved", "primary", "loss"),
    [
        pytest.param(said(3.0), PrimaryEnd(ONE, Lsn(1000)), Loss(0.0, 0), id="the store has all the WAL there is"),
        pytest.param(said(3.0), PrimaryEnd(ONE, Lsn(900)), Loss(0.0, 0), id="asked later, the store has even more"),
        pytest.param(said(3.0), PrimaryEnd(ONE, Lsn(1500)), Loss(3.0, 500), id="behind: since the newest word"),
        pytest.param(said(3.0), None, Loss(3.0, None), id="no primary to ask: what it acknowledged is not known"),
        pytest.param(
            said(3.0), PrimaryEnd(TWO, Lsn(900)), Loss(3.0, None), id="the primary is on a timeline of its own"
        ),
        pytest.param(said(-1.0), None, Loss(0.0, None), id="a clock ahead of this one doesn't make it negative"),
    ],
)
def test_loss(proved: Coverage, primary: PrimaryEnd | None, loss: Loss) -> None:
    """Nothing is lost only where the primary was seen to have no more than the store; else time is counted."""
    assert measure(proved, Lsn(1000), primary, NOW) == loss


def test_without_a_word_nothing_is_proved() -> None:
    """A store in which no archiver has said how far it reaches proves no moment, whatever lies in it."""
    assert isinstance(measure(None, Lsn(1000), PrimaryEnd(ONE, Lsn(1000)), NOW), Unproved)


def test_the_newest_timelines_word_counts() -> None:
    """An old primary that goes on talking on the timeline that was left proves nothing of the new one."""
    assert newest([said(0.1), said(5.0, timeline=TWO), said(9.0, timeline=TWO)]) == said(5.0, timeline=TWO)

"""The longest time between two runs."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from outlive.policy.plan.schedule import longest_interval


@given(st.integers(1, 59))
def test_every_so_many_minutes_is_at_most_so_many_apart(step: int) -> None:
    """Steps through an hour are never further apart than their step, and the hour's end may cut the last one short."""
    assert longest_interval(f"*/{step} * * * *") <= timedelta(minutes=step if step < 31 else 60)


@given(st.integers(0, 23), st.integers(0, 59))
def test_once_a_day_is_a_day_apart(hour: int, minute: int) -> None:
    """A time of day comes each day."""
    assert longest_interval(f"{minute} {hour} * * *") == timedelta(days=1)


def test_a_leap_day_is_up_to_eight_years_away() -> None:
    """The year 2100 is no leap year, and counts."""
    assert longest_interval("0 0 29 2 *") == timedelta(days=2921)

"""Spans of time."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from outlive.policy.units import MAX_SPAN, said, span


@given(st.integers(1, int(MAX_SPAN.total_seconds())))
def test_a_span_is_read_as_it_was_said(seconds: int) -> None:
    """What `said` writes, `span` reads as the same length."""
    assert span(said(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@given(st.text("0123456789smhdw .-", max_size=12))
def test_any_other_text_is_refused_or_means_something(text: str) -> None:
    """A text is a span above zero, or an error; never nothing, never below."""
    try:
        length = span(text)
    except ValueError:
        return
    assert timedelta(0) < length <= MAX_SPAN

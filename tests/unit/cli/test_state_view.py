"""What `outlive state` reads from its arguments, and how it shows a conversation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from outlive.cli.ages import age_of
from outlive.cli.state_view import metadata_of, page_as_json, page_as_text, picture_as_text
from outlive.errors import ConfigurationError
from outlive.model.ages import MAX_AGE
from outlive.stores import Page, Picture, Summary, Turn
from outlive.stores.ages import checked_age

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_metadata_is_read_from_pairs() -> None:
    """Values are JSON where they are JSON, and a dotted key leads into objects."""
    pairs = ["customer=c-1", "trip.class=2", "trip.seats=[1]", "note=a=b", "yes=true"]
    assert metadata_of(pairs) == {
        "customer": "c-1", "trip": {"class": 2, "seats": [1]}, "note": "a=b", "yes": True,
    }  # fmt: skip


@pytest.mark.parametrize("pairs", [["customer"], ["=1"], ["a=1", "a=2"], ["a=1", "a.b=2"]])
def test_pairs_that_say_nothing_are_refused(pairs: list[str]) -> None:
    """The message holds the pair."""
    with pytest.raises(ConfigurationError, match="--metadata"):
        metadata_of(pairs)


def test_an_age_has_a_unit() -> None:
    """Days, hours, minutes and seconds; anything else is refused."""
    assert [age_of(text) for text in ("90d", "12h", "30m", "10s")] == [
        timedelta(days=90), timedelta(hours=12), timedelta(minutes=30), timedelta(seconds=10),
    ]  # fmt: skip
    for text in ("90", "d", "-1d", "1.5h", "1w", "9999999d", ""):
        with pytest.raises(ConfigurationError, match="no length of time"):
            age_of(text)


def test_the_shell_takes_as_long_an_age_as_the_stores() -> None:
    """A thousand years are an age, a day more is none, whichever of them is asked."""
    days = MAX_AGE.days
    assert age_of(f"{days}d") == checked_age("it", MAX_AGE) == MAX_AGE
    with pytest.raises(ConfigurationError):
        age_of(f"{days + 1}d")
    with pytest.raises(ConfigurationError):
        checked_age("it", MAX_AGE + timedelta(days=1))


def test_a_page_tells_how_to_go_on() -> None:
    """A line a conversation, and the option for the next page."""
    summary = Summary("trip-7", "open", {"a": "é"}, 3, 1, None, None, NOON, NOON)
    text = page_as_text(Page((summary,), "17"))
    assert text.splitlines()[1:] == [
        'trip-7  open    3      2026-11-24 12:00:00  -       {"a": "é"}',
        "More: --after 17",
    ]
    assert page_as_text(Page((), None)) == "There is no such conversation."
    for_programs = page_as_json(Page((summary,), "17"))
    assert for_programs["next"] == "17"
    assert [each["updated_at"] for each in for_programs["conversations"]] == [summary.updated_at.isoformat()]


def test_a_message_is_shown_as_what_it_says() -> None:
    """A chat message shows its text, other content its JSON."""
    turns = tuple(
        Turn(f"t{n}", n, "user", content, 0, Decimal(0), NOON)
        for n, content in enumerate([{"role": "user", "content": "Grüezi"}, {"x": 1}])
    )
    text = picture_as_text(Picture("trip-7", "open", {}, turns, None, (), 0, None))
    assert text.splitlines()[-5:] == [
        "[0] user · t0 · 2026-11-24 12:00:00", "Grüezi", "", "[1] user · t1 · 2026-11-24 12:00:00", '{"x": 1}',
    ]  # fmt: skip

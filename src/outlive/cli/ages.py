"""Reads how long ago something was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from outlive import system
from outlive.errors import ConfigurationError
from outlive.model.ages import MAX_AGE

MAX_DIGITS = 12


def age_of(text: str) -> timedelta:
    """A time as 90d, 12h, 30m or 10s.

    Raises:
        ConfigurationError: it is none of these.
    """
    units = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
    number, unit = text[:-1], text[-1:]
    known = number.isascii() and number.isdigit() and unit in units and len(number) < MAX_DIGITS
    age = timedelta(**{units[unit]: int(number)}) if known else None
    if age is None or age > MAX_AGE:
        raise ConfigurationError(f"{text!r} is no length of time", hint="Write 90d, 12h, 30m or 10s.")
    return age


def when(text: str | None) -> datetime | None:
    """The moment that a text says, or how long ago it was; without an offset it is UTC.

    Raises:
        ConfigurationError: it is neither.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return system.now_utc() - age_of(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

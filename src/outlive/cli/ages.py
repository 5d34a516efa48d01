"""Reads how long ago something was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from outlive import system
from outlive.errors import ConfigurationError


def age_of(text: str) -> timedelta:
    """A time as 90d, 12h, 30m or 10s.

    Raises:
        ConfigurationError: it is none of these.
    """
    units = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and unit in units and int(number) <= 1_000_000):
        raise ConfigurationError(f"{text!r} is no length of time", hint="Write 90d, 12h, 30m or 10s.")
    return timedelta(**{units[unit]: int(number)})


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

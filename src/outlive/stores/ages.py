"""Ages and moments that are asked for, checked: none that is no time, none that no calendar has."""

from __future__ import annotations

from datetime import datetime, timedelta

from outlive import system
from outlive.errors import ConfigurationError
from outlive.model.ages import MAX_AGE


def checked_age(name: str, age: timedelta) -> timedelta:
    """An age that makes sense.

    Raises:
        ConfigurationError: it is none, or longer than a thousand years.
    """
    if not timedelta(0) < age <= MAX_AGE:
        raise ConfigurationError(f"{name} must lie between nothing and {MAX_AGE.days:,} days, not {age}")
    return age


def ago(name: str, age: timedelta) -> datetime:
    """The moment that lies so long ago.

    Raises:
        ConfigurationError: the age makes no sense.
    """
    return system.now_utc() - checked_age(name, age)


def checked_moment(name: str, moment: datetime) -> datetime:
    """A moment that has a time zone.

    Raises:
        ConfigurationError: it has none: it would be another one on a machine in another zone.
    """
    if moment.tzinfo is None:
        raise ConfigurationError(f"{name} must be a moment with a time zone, {moment!s} has none")
    return moment

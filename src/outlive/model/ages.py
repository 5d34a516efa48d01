"""How long ago something may have been."""

from __future__ import annotations

from datetime import timedelta

MAX_AGE = timedelta(days=365_000)
"""The longest age: a thousand years, as no calendar has a day that is much longer ago."""

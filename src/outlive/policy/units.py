"""Spans of time as people write them: `90s`, `15m`, `36h`, `7d`, `2w`, and several together: `1d 12h`."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d{1,9})\s*([smhdw])\s*", re.ASCII)
MAX_SPAN = timedelta(days=36_500)


def span(text: object) -> timedelta:
    """Read a span of time; at most a hundred years.

    Raises:
        ValueError: it is none, or not above zero.
    """
    if isinstance(text, timedelta):
        return text
    parts = list(_PART.finditer(text)) if isinstance(text, str) else []
    if not parts or "".join(part[0] for part in parts) != text:
        raise ValueError(f"{text!r} is no span of time; write it like 90s, 15m, 36h, 7d or 2w")
    seconds = sum(int(part[1]) * _UNITS[part[2]] for part in parts)
    if not 0 < seconds <= MAX_SPAN.total_seconds():
        raise ValueError(f"{text!r} must be above zero and at most {MAX_SPAN.days} days")
    return timedelta(seconds=seconds)


def said(length: timedelta) -> str:
    """A span as `span` reads it, in the largest units that tell it exactly to the second."""
    left = int(length.total_seconds())
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"

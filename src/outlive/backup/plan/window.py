"""Whether any moment of a span that was promised can be restored. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta


def shortfall(begin: datetime | None, promised: timedelta, founded_at: datetime, now: datetime) -> str | None:
    """What is lacking of the promise; None where it is kept, or the store is too young to keep it.

    `begin` is the oldest moment that can be restored to. A store that was founded within the span can't reach
    further back than its first backup, and is not blamed for that; for having no backup at all it is.
    """
    if begin is None:
        return f"no moment can be restored to, and any of the last {promised} has to be"
    if begin > now - promised and founded_at <= now - promised:
        return (
            f"any moment of the last {promised} has to be restorable, and the oldest is of {begin:%Y-%m-%d %H:%M} UTC"
        )
    return None

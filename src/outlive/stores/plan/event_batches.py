"""What an event buffer does with an event, and when it writes.

Events wait in the process until there are enough for a batch, or the oldest has waited long enough. The buffer is
bounded: when it is full the new event is dropped and counted, so that what was measured before an outage stays and
the gap is where the outage was. Invariant: recorded = written + waiting + dropped.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BufferLimits:
    """How much is held back, and for how long.

    `max_waiting` events are held in memory at most; `batch` of them go in one transaction; the oldest waits
    `max_age_s` at most while the database takes them; at the end, or when `flush` is called, the database has
    `flush_timeout_s`.
    """

    max_waiting: int = 10_000
    batch: int = 500
    max_age_s: float = 1.0
    flush_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class BufferCounts:
    """What became of the events so far."""

    recorded: int = 0
    written: int = 0
    dropped: int = 0
    waiting: int = 0


def has_room(limits: BufferLimits, waiting: int) -> bool:
    """Whether one more event may wait."""
    return waiting < limits.max_waiting


def due_in_s(limits: BufferLimits, waiting: int, oldest_at: float | None, now: float) -> float | None:
    """How long to wait before the next batch is written: 0 for not at all, None for until there is an event.

    `oldest_at` and `now` are monotonic seconds.
    """
    if waiting == 0 or oldest_at is None:
        return None
    if waiting >= limits.batch:
        return 0.0
    return max(0.0, oldest_at + limits.max_age_s - now)

"""How long a worker that found nothing to do waits before it looks again, if nobody wakes it."""

from __future__ import annotations

SHORTEST_PAUSE_S = 0.05


def pause_s(poll_s: float, due_s: float | None) -> float:
    """Until the next task is due, in `due_s` seconds, but `poll_s` at most: the wake-up may have been lost.

    What is due and was not found is in the hands of a claim under way: it is looked for again soon, not at once.
    """
    return poll_s if due_s is None else min(poll_s, max(due_s, SHORTEST_PAUSE_S))

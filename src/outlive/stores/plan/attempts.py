"""What becomes of a task whose attempt failed: another attempt after a pause, or the dead letters.

A task has `max_attempts` attempts. Between two lies a pause that doubles with each, up to a cap, and of which the
second half is left to chance: tasks that failed together for one reason don't come back together, and none of them
comes back at once.

Invariant: a task is never tried more than `max_attempts` times, and a pause lies in [half of it, all of it].
Source: Marc Brooker, "Exponential Backoff And Jitter" (equal jitter).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between attempts, in seconds: `first_s` after the first, twice that after the second ..."""

    first_s: float = 2.0
    cap_s: float = 600.0

    def pause_s(self, attempt: int, chance: float) -> float:
        """The pause after attempt number `attempt` (from 1); `chance` lies in [0, 1)."""
        longest = self.cap_s if attempt > 64 else min(self.cap_s, self.first_s * 2 ** (attempt - 1))
        return longest * (1 + chance) / 2


DEFAULT_BACKOFF = Backoff()


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Another attempt is due after a pause."""

    pause_s: float


@dataclass(frozen=True, slots=True)
class Bury:
    """No further attempt: the task goes to the dead letters until somebody queues it again."""


def after_failure(
    attempts: int, max_attempts: int, *, retry: bool, backoff: Backoff, chance: float
) -> RetryAfter | Bury:
    """What becomes of a task whose attempt number `attempts` failed; `retry` says whether another one has a point."""
    if not retry or attempts >= max_attempts:
        return Bury()
    return RetryAfter(backoff.pause_s(attempts, chance))

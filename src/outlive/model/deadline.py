"""A moment by which something is over, handed down instead of a timeout."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, in seconds. The caller brings the present moment."""

    at: float

    @classmethod
    def after(cls, timeout_s: float, now: float) -> Deadline:
        """The moment `timeout_s` seconds from now."""
        return cls(now + timeout_s)

    def remaining_s(self, now: float) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - now)

    def expired(self, now: float) -> bool:
        """Whether it has come."""
        return now >= self.at

    def sooner(self, timeout_s: float, now: float) -> Deadline:
        """This deadline, or `timeout_s` from now if that comes first."""
        return Deadline(min(self.at, now + timeout_s))

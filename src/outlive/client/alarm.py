"""A deadline that costs next to nothing while it is kept.

A timer of the event loop for each call would be started and taken back thousands of times a second, and hardly ever
ring. An alarm leaves its timer where it is: when it rings too early, it is set again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from outlive.system import monotonic


class Alarm:
    """Calls `ring()` once the moment that was set has come, on the event loop that made it."""

    __slots__ = ("_due", "_loop", "_ring", "_timer", "_timer_at")

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def set(self, at: float) -> None:
        """Ring at this moment of the monotonic clock, in seconds, and at no other."""
        self._due = at
        if self._timer is None or self._timer_at > at:
            self._start(at)

    def no_later(self, at: float) -> None:
        """Ring at this moment, or at the one that was set if that comes first."""
        if self._due is None or at < self._due:
            self.set(at)

    def clear(self) -> None:
        """Don't ring."""
        self._due = None

    def stop(self) -> None:
        """Don't ring, and leave no timer behind."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_later(at - monotonic(), self._came)

    def _came(self) -> None:
        self._timer = None
        due = self._due
        if due is None:
            return
        if monotonic() < due:
            self._start(due)
        else:
            self._due = None
            self._ring()

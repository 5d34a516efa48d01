"""How far a backup is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from outlive import system


@dataclass(frozen=True, slots=True)
class Progress:
    """`total_bytes` is PostgreSQL's estimate; None while it makes it, and where there is none."""

    done_bytes: int
    stored_bytes: int
    elapsed_s: float
    total_bytes: int | None = None

    @property
    def bytes_per_s(self) -> float:
        """Since the beginning."""
        return self.done_bytes / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds to go at this speed; None where that can't be told."""
        if self.total_bytes is None or not self.bytes_per_s:
            return None
        return max(0, self.total_bytes - self.done_bytes) / self.bytes_per_s


Report = Callable[[Progress], None]


class Meter:
    """Counts what goes through, and tells it at most once every `interval_s` seconds."""

    def __init__(self, report: Report | None = None, interval_s: float = 0.5) -> None:
        self.raw_bytes = 0
        self.stored_bytes = 0
        self.total_bytes: int | None = None
        self._report = report
        self._interval_s = interval_s
        self._began = self._told = system.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was made."""
        return system.monotonic() - self._began

    async def raw(self, chunks: AsyncIterator[bytes], follow: Callable[[bytes], None]) -> AsyncIterator[bytes]:
        """Pass on what comes from the server, shown to `follow` too."""
        async for chunk in chunks:
            self.raw_bytes += len(chunk)
            follow(chunk)
            self._tell()
            yield chunk

    def _tell(self) -> None:
        now = system.monotonic()
        if self._report is not None and now - self._told >= self._interval_s:
            self._told = now
            self._report(Progress(self.raw_bytes, self.stored_bytes, self.elapsed_s, self.total_bytes))

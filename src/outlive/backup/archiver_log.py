"""What the archiver tells of itself: a line of JSON for each event on stdout, and the state file for `wal status`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from outlive import system
from outlive.backup.archiver_files import ArchiverState, write_state
from outlive.errors import OutliveError
from outlive.model.lsn import Lsn, Timeline

WRITE_EACH_S = 1.0
REFUSED_LIMIT = 8


class ArchiverLog:
    """Holds the state; `write` puts it into its file at most once a second. `say` takes each line of JSON."""

    def __init__(self, node: str, path: Path, say: Callable[[str], object] | None = None) -> None:
        now = system.now_utc()
        self.state = ArchiverState(node=node, pid=os.getpid(), started_at=now, written_at=now)
        self._path = path
        self._say = say or _to_stdout
        self._written_at = 0.0

    def event(self, event: str, **facts: Any) -> None:
        """Tell one event."""
        line = {"at": system.now_utc().isoformat(), "event": event, "node": self.state.node, **facts}
        self._say(msgspec.json.encode(line).decode())

    def write(self, *, at_once: bool = False) -> None:
        """Put the state into its file, unless that was done just now."""
        if at_once or system.monotonic() - self._written_at >= WRITE_EACH_S:
            self._written_at = system.monotonic()
            self.state.written_at = system.now_utc()
            write_state(self._path, self.state)

    def archived(self, name: str, *, put: bool) -> None:
        """A file is durable: `put` by this archiver, or found there with the same content."""
        state = self.state
        state.last_archived, state.last_archived_at = name, system.now_utc()
        if name in state.refused:
            state.refused = {other: why for other, why in state.refused.items() if other != name}
        state.archived, state.found_there = state.archived + put, state.found_there + (not put)

    def failed(self, name: str, error: OutliveError) -> None:
        """A push failed; what it was for is kept by PostgreSQL."""
        state, now = self.state, system.now_utc()
        if state.failing_since is None:
            state.failing_since = now
            self.event("archiving-failed", file=name, code=error.code, error=str(error))
        state.failures += 1
        state.last_error, state.last_error_at = f"{name}: {error}", now
        self.write()

    def refused(self, name: str, error: OutliveError) -> None:
        """A file can't be archived as it is, however often it is tried."""
        state = self.state
        if name not in state.refused:
            self.event("archiving-refused", file=name, code=error.code, error=str(error), hint=error.hint)
        state.refused = dict([*state.refused.items(), (name, str(error))][-REFUSED_LIMIT:])
        state.last_error, state.last_error_at = f"{name}: {error}", system.now_utc()
        self.write()

    def works(self) -> None:
        """A push was done; after failures that is news."""
        state = self.state
        if state.failing_since is not None:
            down_s = (system.now_utc() - state.failing_since).total_seconds()
            self.event("archiving-works", failures=state.failures, seconds=round(down_s, 3), backlog=state.backlog)
        state.failing_since, state.failures = None, 0
        self.write()

    def untidy(self, error: OutliveError) -> None:
        """Pieces of segments that are there as a whole could not be removed."""
        self.event("pieces-left", code=error.code, error=str(error))

    def role(self, role: str, timeline: Timeline | None) -> None:
        """What the server is now; a change is news."""
        if (self.state.role, self.state.timeline) != (role, timeline):
            self.event("role", role=role, timeline=timeline)
            self.state.role, self.state.timeline = role, timeline

    def streamed(self, end: Lsn, proved_at: datetime | None) -> None:
        """A piece, or a mark, is durable."""
        state = self.state
        if state.stream_error is not None:
            self.event("streaming-works", end=str(end))
        state.streamed_end, state.stream_error = str(end), None
        state.proved_at = proved_at or state.proved_at
        self.write()

    def not_streamed(self, error: Exception) -> None:
        """The newest WAL could not be brought into the store."""
        said = str(error) or type(error).__name__
        if self.state.stream_error is None:
            self.event("streaming-failed", error=said)
        self.state.stream_error = said
        self.write()


def _to_stdout(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

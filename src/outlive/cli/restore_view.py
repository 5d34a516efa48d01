"""How a restore is told: its progress, and what came of it."""

from __future__ import annotations

import sys
from typing import Any

from outlive import system
from outlive.backup.restoring.conversation import BroughtBack
from outlive.backup.restoring.material import Phases, Progress
from outlive.backup.restoring.restore import Restored

PERIOD_S = 1.0
MEGABYTE = 1_000_000


class Teller:
    """Says now and then how far it is, and how long the rest will take at this pace."""

    def __init__(self) -> None:
        self._phase, self._began, self._said = "", 0.0, 0.0

    def __call__(self, progress: Progress) -> None:
        """Take in a step; write a line if the last one is a second old."""
        now = system.monotonic()
        if progress.phase != self._phase:
            self._phase, self._began = progress.phase, now
        if now - self._said < PERIOD_S or not progress.done:
            return
        self._said = now
        sys.stderr.write(f"{self._line(progress, now - self._began)}\n")
        sys.stderr.flush()

    @staticmethod
    def _line(progress: Progress, seconds: float) -> str:
        replaying = progress.phase == "replay"
        unit, divisor = ("segments", 1) if replaying else ("MB", MEGABYTE)
        line = f"{progress.phase}: {progress.done // divisor:,} {unit}"
        if progress.total and seconds > 0:
            left_s = max(0.0, seconds * (progress.total - progress.done) / progress.done)
            line += f" of {progress.total // divisor:,}, about {left_s:.0f} s left"
        return line


def phases_as_json(phases: Phases) -> dict[str, float]:
    """Seconds by phase, and their sum."""
    named = {"fetch_s": phases.fetch_s, "extract_s": phases.extract_s, "replay_s": phases.replay_s}
    named |= {"check_s": phases.check_s, "total_s": phases.total_s}
    return {name: round(seconds, 2) for name, seconds in named.items()}


def as_json(restored: Restored) -> dict[str, Any]:
    """What came of a restore, for a program."""
    plan, arrival = restored.plan, restored.arrival
    return {
        "directory": restored.into,
        "backup": plan.backup.id,
        "chain": [each.id for each in plan.chain],
        "timeline": plan.timeline,
        "recovered_to": str(arrival.lsn),
        "last_commit_at": arrival.last_commit_at,
        "new_timeline": arrival.timeline,
        "phases": phases_as_json(restored.phases),
    }


def as_text(restored: Restored) -> str:
    """The same for a person."""
    phases, arrival = restored.phases, restored.arrival
    last = f", last commit {arrival.last_commit_at.isoformat()}" if arrival.last_commit_at else ""
    return (
        f"restored {restored.plan.backup.id} into {restored.into} in {phases.total_s:.1f} s "
        f"(fetch {phases.fetch_s:.1f}, extract {phases.extract_s:.1f}, check {phases.check_s:.1f}, "
        f"replay {phases.replay_s:.1f}): recovered to {arrival.lsn}{last}"
    )


def back_as_json(back: BroughtBack) -> dict[str, Any]:
    """A conversation that was brought back, for a program."""
    return {
        "conversation": back.id,
        "turns": back.turns,
        "backup": back.plan.backup.id,
        "recovered_to": str(back.arrival.lsn),
        "last_commit_at": back.arrival.last_commit_at,
        "phases": phases_as_json(back.phases),
    }


def back_as_text(back: BroughtBack) -> str:
    """The same for a person."""
    return f"{back.id}: {back.turns} turns, from {back.plan.backup.id} in {back.phases.total_s:.1f} s"

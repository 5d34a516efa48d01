"""The programs that a supervisor keeps running, and the postmaster that it only watches."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from outlive import system
from outlive.cluster import processes
from outlive.cluster.plan.reactions import Absent, Alive, Dead, Liveness

RECENT_S = 60.0
"""Deaths older than this no longer slow a restart down."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process's name that is never handed out again: its pid with the moment it was started."""

    pid: int
    start_ticks: int

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return processes.start_ticks(self.pid) == self.start_ticks


@dataclass(slots=True)
class Child:
    """A program that is started again whenever it ends. `start_program` returns the new pid."""

    name: str
    start_program: Callable[[], int]
    liveness: Liveness = field(default_factory=Absent)
    id: ProcessId | None = None
    own: bool = True
    _deaths: deque[float] = field(default_factory=lambda: deque(maxlen=16))

    @property
    def pid(self) -> int | None:
        """The pid while it lives."""
        return self.liveness.pid if isinstance(self.liveness, Alive) else None

    def start(self) -> int:
        """Start the program; the pid."""
        pid = self.start_program()
        self.liveness, self.own = Alive(pid), True
        self.id = _identify(pid)
        return pid

    def adopt(self, process: ProcessId) -> None:
        """Watch over a process that an earlier supervisor started."""
        self.liveness, self.id, self.own = Alive(process.pid, own=False), process, False

    def observe(self, reaped: frozenset[int]) -> None:
        """Take in which processes have ended."""
        if not isinstance(self.liveness, Alive):
            return
        ended = self.liveness.pid in reaped or not (self.id and self.id.alive())
        if ended:
            now = system.monotonic()
            self._deaths.append(now)
            self.liveness = Dead(now, sum(now - death < RECENT_S for death in self._deaths))

    def forget(self) -> None:
        """It ended as it was told to."""
        self.liveness, self.id = Absent(), None


@dataclass(slots=True)
class Postmaster:
    """The node's PostgreSQL, which Patroni starts and whose orphan the supervisor inherits."""

    data: Path
    liveness: Liveness = field(default_factory=Absent)
    own: bool = True
    pid_seen: int | None = None

    @property
    def pid(self) -> int | None:
        """The pid while it lives."""
        return self.liveness.pid if isinstance(self.liveness, Alive) else None

    def observe(self, reaped: frozenset[int]) -> None:
        """Take in which processes have ended, and what postmaster.pid says."""
        pid = processes.postmaster_pid(self.data)
        if pid is None:  # a postmaster that is stopped in order removes its file
            if not isinstance(self.liveness, Dead):
                self.forget()
        elif pid not in reaped and processes.serves(pid, self.data):
            if self.pid != pid:
                self._meet(pid)
        elif isinstance(self.liveness, Alive) or pid in reaped:
            self.liveness, self.pid_seen = Dead(system.monotonic()), pid

    def forget(self) -> None:
        """It ended as it was told to."""
        self.liveness = Absent()

    def _meet(self, pid: int) -> None:
        self.own = pid in processes.descendants(os.getpid())
        self.liveness, self.pid_seen = Alive(pid, own=self.own), pid


def _identify(pid: int) -> ProcessId | None:
    start_ticks = processes.start_ticks(pid)
    return None if start_ticks is None else ProcessId(pid, start_ticks)

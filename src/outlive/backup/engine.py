"""The seam behind which another program keeps the backups.

An engine makes physical backups, tells of them, and puts one back as a data directory that recovers by itself when a
server is started on it. What is done with that directory, a start or a whole restore test, is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Protocol

from outlive.backup.plan.targets import Target
from outlive.model.lsn import Lsn

Report = Callable[[str], None]


class Kind(Enum):
    """What a physical backup holds: everything, or what changed since another one."""

    FULL = "full"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True)
class EngineBackup:
    """A finished backup of an engine. Moments are aware UTC; `stored_bytes` is what it takes in the repository."""

    id: str
    kind: Kind
    parent: str | None
    started_at: datetime
    finished_at: datetime
    start: Lsn
    end: Lsn
    raw_bytes: int
    stored_bytes: int
    postgres_version: str
    system_identifier: str


class Engine(Protocol):
    """A program that keeps backups."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    async def create(self, kind: Kind, report: Report) -> EngineBackup:
        """Make a backup and return it once it is finished.

        Raises:
            BackupError: it failed; what the program said is in the message.
        """
        ...

    async def backups(self) -> tuple[EngineBackup, ...]:
        """Every finished backup that is sound by the program's own word, the oldest first."""
        ...

    async def restore(self, backup: str | None, target: Target, into: Path) -> EngineBackup:
        """Put a backup back into an empty directory, with the settings that make it recover to `target`.

        The server started there archives nothing. None takes the newest backup that allows the target.

        Raises:
            BackupError: it failed; `into` may hold a part of it.
            ConfigurationError: `into` holds something.
        """
        ...

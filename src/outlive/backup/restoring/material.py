"""What a restore is made from and with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from outlive.backup.keys import Keyring
from outlive.backup.plan.archived import Archived
from outlive.backup.plan.recovery import CatalogFacts
from outlive.object_storage.store import ObjectStore

REPLAY_LIMIT_S = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class StoredBackup:
    """A backup's tar in the store, and the major release of the PostgreSQL that it belongs to."""

    tar: str
    stored_bytes: int
    major: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A store, its keys, and what it was seen to hold."""

    store: ObjectStore
    keyring: Keyring | None
    facts: CatalogFacts
    backups: Mapping[str, StoredBackup]
    archived: Archived
    system_identifier: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase is; `total` is in the phase's own unit, bytes or segments, and None where it is not known."""

    phase: str
    done: int
    total: int | None


Report = Callable[[Progress], None]


@dataclass(slots=True, kw_only=True)
class Phases:
    """Seconds by what they were spent on; they add up to the measured recovery time."""

    fetch_s: float = 0.0
    extract_s: float = 0.0
    replay_s: float = 0.0
    check_s: float = 0.0

    @property
    def total_s(self) -> float:
        """The measured recovery time."""
        return self.fetch_s + self.extract_s + self.replay_s + self.check_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """PostgreSQL's programs, how long recovery may take in seconds, and who is told how it goes.

    `scratch` data is thrown away afterwards, so that nothing has to reach the disk.
    """

    programs: Path
    major: int
    replay_limit_s: float = REPLAY_LIMIT_S
    scratch: bool = False
    report: Report = field(default=lambda _progress: None)

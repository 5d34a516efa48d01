"""What a policy may say. Frozen, and strict: an unknown key is an error, never ignored.

Times of day are UTC. A part that is left out is not done: no `incremental` means that there are no incremental
backups, no `restore_testing` that no backup is ever proved.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from outlive.model.durability import Durability
from outlive.policy.units import span

SCHEMES = ("s3://", "gs://", "az://", "file:///", "memory://")


def _cron(text: str) -> str:
    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"{text!r} is no cron expression ({error}); every night at two is `0 2 * * *`") from None
    except StopIteration:
        raise ValueError(f"{text!r} never comes") from None
    return text


def _storage(text: str) -> str:
    if not text.startswith(SCHEMES):
        raise ValueError(f"{text!r} is no place for backups; it begins with {', '.join(SCHEMES[:-1])}")
    return text


Span = Annotated[timedelta, BeforeValidator(span)]
Cron = Annotated[str, AfterValidator(_cron)]
Storage = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_storage)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class _Read(_Part):
    """Which node a backup is read from, and how fast at most; `from` insists.

    Without `from` it is a standby if one is fresh enough, else the primary.
    """

    schedule: Cron
    backup_from: Annotated[Literal["standby", "primary"] | None, Field(alias="from")] = None
    rate_limit_mib_s: Annotated[float, Field(ge=0.1)] | None = None


class FullBackup(_Read):
    """Base backups. Any moment of the last `retention_days` stays restorable; `retention_count` of them stay anyway."""

    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    retention_count: Annotated[int, Field(ge=1, le=10_000)] = 2
    storage: Storage


class Scheduled(_Read):
    """Backups that go with the full ones: incremental or logical. Read as those are, unless it is said here."""


class LogicalBackup(Scheduled):
    """Dumps of one database, kept for `retention_days`."""

    database: str | None = None
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 30


class WalArchiving(_Part):
    """The continuous archive; `recovery_target_time` is how far back any moment must be restorable."""

    enabled: bool = True
    recovery_target_time: Span | None = None


class RestoreTesting(_Part):
    """Restore tests: a backup is restored on a scratch server, checked and measured."""

    schedule: Cron
    alert_on_failure: bool = True
    max_restore_time_minutes: Annotated[float, Field(gt=0, le=100_000)] = 30


class Encryption(_Part):
    """Envelope encryption with the key in a file; without a file the environment's."""

    key_file: Path | None = None


class ObjectLock(_Part):
    """Whatever is written can't be removed for `days`: the bucket's own default retention, which `check` reads."""

    days: Annotated[int, Field(ge=1, le=36_500)]
    mode: Literal["governance", "compliance"] = "governance"


class Objectives(_Part):
    """What the loss of everything but the store may cost: `rpo_seconds` of commits, `rto_minutes` of time."""

    rpo_seconds: Annotated[float, Field(gt=0)] | None = None
    rto_minutes: Annotated[float, Field(gt=0)] | None = None


class BackupPolicy(_Part):
    """Backups: what is made when, how long it is kept, and how it is proved."""

    full_backup: FullBackup
    incremental: Scheduled | None = None
    logical: LogicalBackup | None = None
    wal_archiving: WalArchiving = WalArchiving()
    restore_testing: RestoreTesting | None = None
    encryption: Encryption | None = None
    storage_options: Path | None = None
    object_lock: ObjectLock | None = None
    objectives: Objectives = Objectives()


class Policy(_Part):
    """The whole of `outlive.yaml`. `durability` moves stores to another class than their own."""

    backup_policy: BackupPolicy
    durability: dict[str, Durability] = Field(default_factory=dict)

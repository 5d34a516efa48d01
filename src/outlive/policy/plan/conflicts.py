"""What a policy asks for and can't have, found before anybody relies on it.

Each rule looks at one promise and at the parts that would have to keep it. A *conflict* means that the promise can't
be kept as the policy stands: `outlive policy check` fails. A *doubt* is kept to the letter and is still worth a look.

The bounds: without an archive, a loss goes back to the last backup, so no objective below the longest interval can be
met. With one, the segment being written reaches the store within `STREAMED_WITHIN_S`. A restore takes as long as the
restore test allows it to take, since a slower one would be the first to be called a failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from outlive.policy.plan.schedule import longest_interval
from outlive.policy.schema import BackupPolicy, FullBackup, Policy, Scheduled
from outlive.policy.units import said

STREAMED_WITHIN_S = 5.0
"""The most seconds of commits that are not in the store yet, with the archive on."""


class Weight(Enum):
    """Whether the policy can be kept as it stands."""

    CONFLICT = "conflict"
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where, why, and the way out."""

    weight: Weight
    where: str
    reason: str
    hint: str


def findings(policy: Policy) -> tuple[Finding, ...]:
    """Everything that is wrong with a policy, conflicts first."""
    backups = policy.backup_policy
    rules = (_window, _point_in_time, _loss, _recovery_time, _incremental, _proof, _place, _lock)
    found = [finding for rule in rules for finding in rule(backups)]
    return tuple(sorted(found, key=lambda finding: finding.weight is Weight.DOUBT))


def _window(backups: BackupPolicy) -> Iterator[Finding]:
    """Is every moment of the window covered by a full backup that is still kept?"""
    window = backups.wal_archiving.recovery_target_time
    kept = timedelta(days=backups.full_backup.retention_days)
    if window is not None and window > kept:
        yield Finding(
            Weight.CONFLICT,
            "wal_archiving.recovery_target_time",
            f"any moment of the last {said(window)} is to be restorable, but backups are kept for {said(kept)}",
            f"Raise full_backup.retention_days to {-(-window // timedelta(days=1))}, or shorten the window.",
        )
    interval = longest_interval(backups.full_backup.schedule)
    if interval > kept:
        yield Finding(
            Weight.DOUBT,
            "full_backup.schedule",
            f"full backups are up to {said(interval)} apart and kept for {said(kept)}: mostly there is just one",
            "Take them more often, or raise retention_days: a damaged backup then has one before it.",
        )


def _point_in_time(backups: BackupPolicy) -> Iterator[Finding]:
    """Is there an archive, where moments between backups are to be restorable?"""
    archiving = backups.wal_archiving
    if archiving.recovery_target_time is not None and not archiving.enabled:
        yield Finding(
            Weight.CONFLICT,
            "wal_archiving.enabled",
            "moments between backups can be restored from the archive only, and it is switched off",
            "Set wal_archiving.enabled to true, or leave recovery_target_time away.",
        )


def _loss(backups: BackupPolicy) -> Iterator[Finding]:
    """Can the objective for loss be met by what is scheduled?"""
    objective_s = backups.objectives.rpo_seconds
    if objective_s is None:
        return
    if backups.wal_archiving.enabled:
        bound, cause = timedelta(seconds=STREAMED_WITHIN_S), "the archive is behind by up to"
        hint = f"Ask for {STREAMED_WITHIN_S:.0f} s or more; a synchronous standby elsewhere loses nothing at all."
    else:
        bound = min(longest_interval(part.schedule) for part in _backups(backups))
        cause, hint = "without an archive a loss goes back to the last backup, by up to", "Enable wal_archiving."
    if timedelta(seconds=objective_s) < bound:
        yield Finding(
            Weight.CONFLICT,
            "objectives.rpo_seconds",
            f"at most {objective_s:g} s may be lost, but {cause} {said(bound)}",
            hint,
        )


def _recovery_time(backups: BackupPolicy) -> Iterator[Finding]:
    """Would the restore test call a restore good that takes longer than the objective?"""
    objective, testing = backups.objectives.rto_minutes, backups.restore_testing
    if objective is None:
        return
    if testing is None:
        yield Finding(
            Weight.CONFLICT,
            "objectives.rto_minutes",
            f"a recovery is to take at most {objective:g} minutes, but none is ever measured",
            "Add restore_testing with a schedule.",
        )
    elif testing.max_restore_time_minutes > objective:
        yield Finding(
            Weight.CONFLICT,
            "restore_testing.max_restore_time_minutes",
            f"a restore test passes within {testing.max_restore_time_minutes:g} minutes, "
            f"but the objective is {objective:g}",
            f"Lower it to {objective:g}, or raise objectives.rto_minutes.",
        )


def _incremental(backups: BackupPolicy) -> Iterator[Finding]:
    """Do incremental backups come between full ones?"""
    if backups.incremental is None:
        return
    full, between = longest_interval(backups.full_backup.schedule), longest_interval(backups.incremental.schedule)
    if between >= full:
        yield Finding(
            Weight.DOUBT,
            "incremental.schedule",
            f"incremental backups are up to {said(between)} apart, and full ones {said(full)}: they save nothing",
            "Take them more often than full backups, or leave them away.",
        )


def _proof(backups: BackupPolicy) -> Iterator[Finding]:
    """Is each backup proved before it is gone?"""
    testing = backups.restore_testing
    if testing is None:
        yield Finding(
            Weight.DOUBT,
            "restore_testing",
            "no backup is ever restored: a backup that has never been restored is a hypothesis",
            "Add restore_testing with a schedule.",
        )
        return
    between, kept = longest_interval(testing.schedule), timedelta(days=backups.full_backup.retention_days)
    if between > kept:
        yield Finding(
            Weight.DOUBT,
            "restore_testing.schedule",
            f"restore tests are up to {said(between)} apart, and backups are kept for {said(kept)}: "
            "some are gone before they are proved",
            "Test more often.",
        )
    if not testing.alert_on_failure:
        yield Finding(
            Weight.DOUBT,
            "restore_testing.alert_on_failure",
            "a restore test that fails is told to nobody",
            "Set it to true.",
        )


def _place(backups: BackupPolicy) -> Iterator[Finding]:
    """Does the store survive what the database may not?"""
    if backups.full_backup.storage.startswith(("file:", "memory:")):
        yield Finding(
            Weight.DOUBT,
            "full_backup.storage",
            f"{backups.full_backup.storage} may be lost together with the database",
            "Use an object store elsewhere, or make sure that the directory is on other hardware.",
        )


def _lock(backups: BackupPolicy) -> Iterator[Finding]:
    """Has the store a lock at all, and does what is kept stay locked?"""
    lock, storage = backups.object_lock, backups.full_backup.storage
    if lock is None:
        return
    if not storage.startswith("s3://"):
        yield Finding(
            Weight.CONFLICT,
            "object_lock",
            f"objects are to be locked for {lock.days} days, and {storage} is no S3, which alone has such locks",
            "Leave it away, or use a bucket with Object Lock.",
        )
    if lock.days < backups.full_backup.retention_days:
        yield Finding(
            Weight.DOUBT,
            "object_lock.days",
            f"objects are locked for {lock.days} days, and backups are kept for {backups.full_backup.retention_days}: "
            "the older ones can be removed by whoever can write",
            "Lock them for as long as they are kept.",
        )


def _backups(backups: BackupPolicy) -> Iterator[FullBackup | Scheduled]:
    yield backups.full_backup
    if backups.incremental is not None:
        yield backups.incremental

"""What `prune`, `check` and `keep` do and say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from outlive.backup import keeping
from outlive.backup.catalog import Keep
from outlive.backup.checking import NO_UPLOADS, Checked
from outlive.backup.checking import check as look
from outlive.backup.plan.retention import Rules
from outlive.backup.pruning import Pruning, apply, prepare
from outlive.cli.backup_view import size
from outlive.cli.storage import Place
from outlive.cli.terminal import say
from outlive.errors import ConfigurationError
from outlive.object_storage.lock import Locking, Rule, lacking, probe, rule
from outlive.policy.load import load


def rules(days: float | None, count: int | None, unfinished_hours: float, policy: Path | None) -> Rules:
    """How long: what is said here, else what the policy says.

    Raises:
        ConfigurationError: neither says it.
    """
    unfinished = timedelta(hours=unfinished_hours)
    if days is None and count is None:
        if policy is None:
            raise ConfigurationError("nothing says how long backups are kept", hint="--days, --count, or --policy.")
        return _of_policy(policy, unfinished)
    if days is not None and days < 0:
        raise ConfigurationError(f"--days can't be {days:g}")
    return Rules(days=days, count=count, unfinished_after=unfinished)


def _of_policy(policy: Path, unfinished: timedelta) -> Rules:
    said = load(policy).backup_policy
    full, logical = said.full_backup, said.logical
    window = said.wal_archiving.recovery_target_time or timedelta(0)
    return Rules(
        # The longer of the two, where they contradict each other: what is removed doesn't come back.
        days=max(full.retention_days, window / timedelta(days=1)), count=full.retention_count,
        logical_days=logical.retention_days if logical else None, unfinished_after=unfinished,
    )  # fmt: skip


async def prune(where: Place, wanted: Rules, *, dry_run: bool) -> Pruning:
    """Plan it, and do it unless it is only to be shown."""
    async with where.opened() as store:
        pruning = await prepare(store, wanted)
        if not dry_run:
            await apply(store, pruning)
        return pruning


@dataclass(frozen=True, slots=True)
class Locks:
    """What is known of Object Lock: what the attempt showed, the bucket's rule, what it lacks of the policy's."""

    probed: Locking | None = None
    rule: Rule | Locking | None = None
    lacking: str | None = None

    @property
    def as_wanted(self) -> bool:
        """Whether the bucket locks as the policy says, and nothing was seen to be removed in spite of a lock."""
        return self.lacking is None and self.probed is not Locking.IGNORED


async def check(where: Place, policy: Path | None, *, deep: bool, probe_lock: bool) -> tuple[Checked, Locks]:
    """Look, and tell on stderr which object is being read."""
    wanted = load(policy).backup_policy.object_lock if policy else None
    async with where.opened() as store:
        checked = await look(store, deep=deep, progress=lambda key: say(f"outlive: reading {key}"))
    found = await rule(where.url, where.options) if wanted or probe_lock else None
    return checked, Locks(
        probed=await probe(where.url, where.options) if probe_lock else None,
        rule=found,
        lacking=lacking(found, wanted.days, wanted.mode) if wanted and found else None,
    )


async def keep(where: Place, name: str, backup: str, reason: str) -> Keep:
    """Make a keep."""
    async with where.opened() as store:
        return await keeping.keep(store, name, backup, reason)


async def release(where: Place, name: str) -> None:
    """End a keep."""
    async with where.opened() as store:
        await keeping.release(store, name)


def pruning_json(pruning: Pruning, *, dry_run: bool) -> dict[str, Any]:
    """All of it; `removed` says whether it was done."""
    plan = pruning.retention
    return {
        "removed": not dry_run,
        "goes": [{"backup": each.id, "reason": each.reason} for each in plan.goes],
        "stays": [{"backup": each.id, "reason": each.reason} for each in plan.stays],
        "abandoned": list(plan.abandoned),
        "uploads": None if pruning.uploads is None else [each.key for each in pruning.uploads],
        "wal_objects": len(pruning.wal_keys),
        "wal_stays_from": str(plan.horizon) if plan.horizon is not None else None,
        "freed_bytes": pruning.freed_bytes,
    }


def pruning_text(pruning: Pruning, *, dry_run: bool) -> str:
    """A line for each backup, then the WAL, then the sum."""
    plan, word = pruning.retention, "would go" if dry_run else "removed"
    lines = [f"{each.id}: stays, {each.reason}" for each in plan.stays]
    lines += [f"{each.id}: {word}, {each.reason}" for each in plan.goes]
    lines += [f"{each}: {word}, it was never finished" for each in plan.abandoned]
    lines += [f"{each.key}: {word}, an upload that never ended" for each in pruning.uploads or ()]
    lines += [f"not looked at: {NO_UPLOADS}"] if pruning.uploads is None else []
    horizon = f"what lies from {plan.horizon} on stays" if plan.horizon is not None else "all of it stays"
    lines.append(f"WAL: {len(pruning.wal_keys)} objects {word}; {horizon}")
    lines.append(f"{size(pruning.freed_bytes)} {'would be freed' if dry_run else 'freed'}")
    return "\n".join(lines)


def checked_json(checked: Checked, locks: Locks) -> dict[str, Any]:
    """All of it."""
    probed, found = locks.probed, locks.rule
    return {
        "whole": checked.whole,
        "backups": checked.backups,
        "objects": checked.objects,
        "read_bytes": checked.read_bytes,
        "findings": [
            {"severity": each.severity.value, "key": each.key, "what": each.what} for each in checked.findings
        ],
        "not_looked_at": list(checked.not_looked_at),
        "object_lock": None if probed is None else {"result": probed.name.lower(), "meaning": probed.value},
        "lock_rule": {"mode": found.mode, "days": found.days} if isinstance(found, Rule) else None,
        "lock_lacking": locks.lacking,
    }


def checked_text(checked: Checked, locks: Locks) -> str:
    """The findings, then one line."""
    return "\n".join(_lines(checked, locks))


def _lines(checked: Checked, locks: Locks) -> Iterator[str]:
    for each in checked.findings:
        yield f"{each.severity.value}: {each.key}: {each.what}"
    for what in checked.not_looked_at:
        yield f"not looked at: {what}"
    read = f"every byte read, {size(checked.read_bytes)}" if checked.read_bytes else "looked at by size"
    verdict = "all whole" if checked.whole else "NOT all whole"
    yield f"{checked.backups} backups of {checked.objects} objects, {read}: {verdict}"
    if isinstance(locks.rule, Rule):
        yield f"Object Lock: the bucket locks what is written for {locks.rule.days} days (mode {locks.rule.mode})"
    if locks.probed is not None:
        yield f"Object Lock, tried: {locks.probed.value}"
    if locks.lacking is not None:
        yield f"NOT as the policy says: {locks.lacking}"

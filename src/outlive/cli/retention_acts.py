"""What `prune`, `check` and `keep` do and say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from outlive.backup import keeping
from outlive.backup.catalog import Keep
from outlive.backup.checking import Checked
from outlive.backup.checking import check as look
from outlive.backup.plan.retention import Rules
from outlive.backup.pruning import Pruning, apply, prepare
from outlive.cli.backup_view import size
from outlive.cli.storage import Place
from outlive.cli.terminal import say
from outlive.errors import ConfigurationError
from outlive.object_storage.lock import Locking, probe
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
    return Rules(
        days=full.retention_days, count=full.retention_count, unfinished_after=unfinished,
        logical_days=logical.retention_days if logical else None,
    )  # fmt: skip


async def prune(where: Place, wanted: Rules, *, dry_run: bool) -> Pruning:
    """Plan it, and do it unless it is only to be shown."""
    async with where.opened() as store:
        pruning = await prepare(store, wanted)
        if not dry_run:
            await apply(store, pruning)
        return pruning


async def check(where: Place, *, deep: bool, probe_lock: bool) -> tuple[Checked, Locking | None]:
    """Look, and tell on stderr which object is being read."""
    async with where.opened() as store:
        checked = await look(store, deep=deep, progress=lambda key: say(f"outlive: reading {key}"))
    return checked, await probe(where.url, where.options) if probe_lock else None


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
        "uploads": [each.key for each in pruning.uploads],
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
    lines += [f"{each.key}: {word}, an upload that never ended" for each in pruning.uploads]
    horizon = f"what lies from {plan.horizon} on stays" if plan.horizon is not None else "all of it stays"
    lines.append(f"WAL: {len(pruning.wal_keys)} objects {word}; {horizon}")
    lines.append(f"{size(pruning.freed_bytes)} {'would be freed' if dry_run else 'freed'}")
    return "\n".join(lines)


def checked_json(checked: Checked, locking: Locking | None) -> dict[str, Any]:
    """All of it."""
    return {
        "whole": checked.whole,
        "backups": checked.backups,
        "objects": checked.objects,
        "read_bytes": checked.read_bytes,
        "findings": [
            {"severity": each.severity.value, "key": each.key, "what": each.what} for each in checked.findings
        ],
        "object_lock": None if locking is None else {"result": locking.name.lower(), "meaning": locking.value},
    }


def checked_text(checked: Checked, locking: Locking | None) -> str:
    """The findings, then one line."""
    return "\n".join(_lines(checked, locking))


def _lines(checked: Checked, locking: Locking | None) -> Iterator[str]:
    for each in checked.findings:
        yield f"{each.severity.value}: {each.key}: {each.what}"
    read = f"every byte read, {size(checked.read_bytes)}" if checked.read_bytes else "looked at by size"
    verdict = "all whole" if checked.whole else "NOT all whole"
    yield f"{checked.backups} backups of {checked.objects} objects, {read}: {verdict}"
    if locking is not None:
        yield f"Object Lock: {locking.value}"

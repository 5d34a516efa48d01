"""What the commands about backups do, once it is known where."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from outlive.backup.catalog import Catalog
from outlive.backup.layout import Kind
from outlive.backup.manifest import BackupManifest
from outlive.backup.plan.source import Wanted
from outlive.backup.taking.create import create as take
from outlive.backup.taking.request import Listener, Request, Step
from outlive.cli import backup_view as view
from outlive.cli.storage import Place
from outlive.cli.terminal import say
from outlive.errors import ConfigurationError
from outlive.postgres import programs
from outlive.postgres.access import Access

T = TypeVar("T")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Said:
    """What the policy says of how a backup is read; None where it says nothing."""

    wanted: Wanted | None = None
    mib_per_s: float | None = None
    database: str | None = None


def of_policy(policy: Path | None, kind: Kind) -> Said:
    """What the policy says of backups of this kind; of incremental and logical ones, else what it says of full ones.

    Raises:
        ConfigurationError: it can't be read.
    """
    if policy is None:
        return Said()
    # Imported here: what reads a policy takes its time, and most commands are given none.
    from outlive.policy.load import load

    backups = load(policy).backup_policy
    full, logical = backups.full_backup, backups.logical
    own = {Kind.FULL: full, Kind.INCREMENTAL: backups.incremental, Kind.LOGICAL: logical}[kind] or full
    source = own.backup_from or full.backup_from
    return Said(
        wanted=Wanted(source) if source else None,
        mib_per_s=own.rate_limit_mib_s or full.rate_limit_mib_s,
        database=logical.database if logical and kind is Kind.LOGICAL else None,
    )


def request(
    where: Place, postgres_bin: Path | None, *, kind: Kind, wanted: Wanted | None, or_full: bool,
    mib_per_s: float | None, fast_checkpoint: bool, database: str | None,
) -> Request:  # fmt: skip
    """The backup that is asked for.

    Raises:
        ConfigurationError: the programs are not there.
    """
    found = programs.directory(postgres_bin)
    for name in ("pg_dump", "pg_basebackup"):
        if not (found / name).is_file():
            raise ConfigurationError(f"{found} has no program {name}", hint="--postgres-bin names another directory.")
    return Request(
        kind=kind, programs=found, codec=where.codec, wanted=wanted, or_full=or_full, database=database,
        bytes_per_s=mib_per_s * MIB if mib_per_s else None, fast_checkpoint=fast_checkpoint,
    )  # fmt: skip


async def create(where: Place, reach: Access, wish: Request) -> BackupManifest:
    """Take it, and tell on stderr how far it is."""
    async with where.opened() as store:
        return await interruptible(take(store, reach, wish, _listener()))


async def catalog(where: Place) -> Catalog:
    """All that the store holds of backups."""
    async with where.opened() as store:
        return await Catalog.load(store)


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """SIGTERM ends the work as Ctrl-C does: what it began is undone first."""
    task = asyncio.ensure_future(work)
    with contextlib.suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _listener() -> Listener:
    shown = view.ProgressLine(sys.stderr)

    def step(begun: Step) -> None:
        shown.end()
        say(f"outlive: {view.STEPS[begun]}")

    def note(line: str) -> None:
        shown.end()
        say(f"outlive: {line}")

    return Listener(shown.show, step, note)

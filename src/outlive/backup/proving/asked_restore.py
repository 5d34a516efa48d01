"""A restore that is handed over only once the restored server was asked, as a restore test asks it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from outlive import system
from outlive.backup.manifest import BackupManifest
from outlive.backup.plan.recovery import Wish
from outlive.backup.proving.examination import Findings, examine, rows
from outlive.backup.restoring.material import Material, Report, Tools
from outlive.backup.restoring.restore import BeforeHandingOver, Restored, decided, restore
from outlive.backup.restoring.server import PrivateServer
from outlive.errors import RestoreTestFailedError

SHOWN_LIMIT = 5


async def restore_and_ask(
    material: Material,
    backups: Sequence[BackupManifest],
    wish: Wish,
    into: Path,
    *,
    prepare: BeforeHandingOver,
    postgres_bin: Path | None = None,
    replace: Path | None = None,
    report: Report = lambda _progress: None,
) -> Restored:
    """Restore as `restore` does; what the server answers counts before `into` becomes a data directory.

    `backups` are the manifests of the store, whose counts the rows are held against. No evidence is kept.

    Raises:
        RestoreTestFailedError: something is wrong, and what; `into` is as empty as it was.
        BackupError: see `restore`.
    """
    recorded = next(each.counts for each in backups if each.id == decided(material, wish).backup.id)
    asked_s = 0.0

    async def ask(server: PrivateServer) -> None:
        nonlocal asked_s
        await prepare(server)
        began, findings = system.monotonic(), Findings()
        await examine(server, Tools(programs=server.programs, major=server.major), rows(recorded), findings)
        asked_s = system.monotonic() - began
        if findings.complaints:
            raise RestoreTestFailedError("; ".join(findings.complaints[:SHOWN_LIMIT]))

    restored = await restore(
        material, wish, into, postgres_bin=postgres_bin, replace=replace, report=report, prepare=ask
    )
    restored.phases.check_s += asked_s
    return restored

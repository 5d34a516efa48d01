"""The restore test: a backup is restored on a server of its own, to an instant that nobody chose, and asked.

    1  recover to the place in the WAL at which the rows were counted when the backup was taken, and count them again
    2  go on to the instant
    3  ask: no table or row lost altogether, references whole, the rules of the agent's state, a ledger's operations
    4  pg_amcheck reads every table and index; the server is stopped, and pg_checksums reads every page

pg_verifybackup has read every file before that. Neither the cluster nor its archive notices anything of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from outlive import system
from outlive.backup.manifest import BackupManifest
from outlive.backup.plan import verdict
from outlive.backup.plan.recovery import RecoveryPlan, Wish
from outlive.backup.plan.targets import BackupEnd, LsnTarget, NameTarget, Target, TimeTarget
from outlive.backup.proving import evidence as kept
from outlive.backup.proving import questions
from outlive.backup.proving.evidence import FAILED, VERIFIED, Evidence
from outlive.backup.proving.examination import Findings, Ledger, LedgerUntil, examine, rows
from outlive.backup.restoring.material import Material, Phases, Report
from outlive.backup.restoring.recovery import Pause, recovered
from outlive.backup.restoring.restore import chosen_tools, decided
from outlive.backup.restoring.scratch import scratch_workspace
from outlive.backup.restoring.server import PrivateServer
from outlive.errors import BackupError
from outlive.model.lsn import Lsn

NEVER_SHOWN = 20
"""Complaints that evidence lists; their number is always there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is to be tested; `at` None means a random instant. `scratch` is where, `limit_s` the longest it may take."""

    backup: BackupManifest
    at: datetime | None = None
    limit_s: float | None = None
    ledger: Ledger | None = None
    scratch: Path | None = None
    postgres_bin: Path | None = None


async def run(material: Material, test: Trial, report: Report = lambda _progress: None) -> Evidence:
    """Restore the backup, ask, and keep what came of it as evidence, whether it is good or bad.

    Raises:
        ConfigurationError, ObjectStorageError: it could not be tested, which says nothing of the backup.
    """
    target, phases, findings = _target(material, test), Phases(), Findings()
    try:
        plan = decided(material, Wish(target=target, backup=test.backup.id))
        await _restore_and_ask(material, plan, test, report, phases, findings)
    except BackupError as error:
        findings.take(error.code, [str(error)])
    if test.limit_s is not None and phases.total_s > test.limit_s:
        findings.take("max_restore_time", [f"it took {phases.total_s:.1f} s, and may take {test.limit_s:.0f} s"])
    return await kept.keep(material.store, _evidence(test, target, phases, findings))


def _target(material: Material, test: Trial) -> Target:
    if test.at is not None:
        return TimeTarget(test.at)
    last = max((each.at for each in material.facts.archive.covered), default=test.backup.finished_at)
    seconds = (last - test.backup.finished_at).total_seconds()
    if seconds <= 0:
        return BackupEnd()
    return TimeTarget(test.backup.finished_at + timedelta(seconds=system.chance.uniform(0, seconds)))


async def _restore_and_ask(
    material: Material, plan: RecoveryPlan, test: Trial, report: Report, phases: Phases, findings: Findings
) -> None:
    tools = chosen_tools(material, plan, test.postgres_bin, report, scratch=True)
    findings.plan = plan
    pause = _comparison(test.backup, plan, findings)
    async with (
        scratch_workspace(test.scratch, tools.programs) as workspace,
        recovered(material, plan, workspace, tools, phases, pause) as result,
    ):
        began = system.monotonic()
        findings.plan, findings.arrival = plan, result.arrival
        await examine(result.server, tools, rows(test.backup.counts), findings, _until(test, plan))
        phases.check_s += system.monotonic() - began


def _until(test: Trial, plan: RecoveryPlan) -> LedgerUntil | None:
    if test.ledger is None:
        return None
    at = plan.target.at if isinstance(plan.target, TimeTarget) else test.backup.finished_at
    return LedgerUntil(test.ledger, at)


def _comparison(backup: BackupManifest, plan: RecoveryPlan, findings: Findings) -> Pause | None:
    """A pause where rows were counted; None where no single place has exactly those, or it isn't on the way."""
    exact = [each for each in backup.counts if each.lsn == each.until_lsn]
    late = isinstance(plan.target, TimeTarget) and plan.target.at < backup.finished_at
    if not exact or not plan.wal or late:
        return None
    place = max(Lsn.parse(each.lsn) for each in exact)
    counted_there = tuple(each for each in exact if Lsn.parse(each.lsn) == place)

    async def look(server: PrivateServer) -> None:
        findings.take("rows_as_counted", verdict.same(rows(counted_there), rows(await questions.count(server))))
        findings.compared = True

    return Pause(place, look)


def _evidence(test: Trial, target: Target, phases: Phases, findings: Findings) -> Evidence:
    plan, arrival = findings.plan, findings.arrival
    return Evidence(
        status=FAILED if findings.complaints else VERIFIED,
        at=system.now_utc(),
        backup=test.backup.id,
        chain=tuple(each.id for each in plan.chain) if plan else (),
        target=_named(target),
        timeline=plan.timeline if plan else None,
        outlive_version=version("outlive"),
        recovered_to=str(arrival.lsn) if arrival else None,
        last_commit_at=arrival.last_commit_at if arrival else None,
        seconds=_seconds(phases),
        tables=findings.tables,
        rows=findings.rows,
        compared=findings.compared,
        checks=findings.checks,
        complaints=tuple(findings.complaints[:NEVER_SHOWN]),
    )


def _seconds(phases: Phases) -> dict[str, float]:
    named = {"fetch": phases.fetch_s, "extract": phases.extract_s, "replay": phases.replay_s, "check": phases.check_s}
    return {name: round(seconds, 3) for name, seconds in {**named, "total": phases.total_s}.items()}


def _named(target: Target) -> str:
    match target:
        case TimeTarget(at):
            return f"time {at.isoformat()}"
        case LsnTarget(lsn):
            return f"lsn {lsn}"
        case NameTarget(name):
            return f"name {name}"
        case BackupEnd():
            return "the backup itself"
        case _:
            return "latest"

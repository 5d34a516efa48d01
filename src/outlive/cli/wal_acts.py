"""What `outlive wal` looks at: the store, and where there is a cluster on this machine, its primary and archivers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from outlive import system
from outlive.backup.archiver_files import STALE_AFTER_S, ArchiverState, read_state
from outlive.backup.plan.loss import Loss, PrimaryEnd, Unproved, measure
from outlive.backup.plan.window import shortfall
from outlive.backup.wal_report import Damage, WalReport, look, read_deeply
from outlive.cli.storage import Place
from outlive.cluster import observation
from outlive.cluster.directory import ClusterDirectory
from outlive.cluster.spec import ArchiveSpec
from outlive.errors import ConfigurationError, ObjectStorageError
from outlive.model.lsn import Lsn
from outlive.policy.load import load

REPORT_EACH = 50
DEFAULT_OBJECTIVE_S = 5.0


@dataclass(frozen=True, slots=True)
class Archivers:
    """The archivers of a cluster on this machine by node; None: it never said anything."""

    archive: ArchiveSpec | None
    states: dict[str, ArchiverState | None]
    primary: PrimaryEnd | None


@dataclass(frozen=True, slots=True)
class Status:
    """What `wal status` shows. `problems` are sentences; none: all is well. `report` None: the store can't be read."""

    now: datetime
    url: str
    report: WalReport | None
    loss: Loss | Unproved
    archivers: Archivers | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What `wal check` shows. `damages` None: the objects were not read."""

    report: WalReport
    damages: tuple[Damage, ...] | None

    @property
    def sound(self) -> bool:
        """Whether all that recovery needs is there."""
        return self.report.continuity.whole and not self.damages


@dataclass(frozen=True, slots=True)
class Promises:
    """What the policy promises of the archive; None where it promises nothing."""

    loss_s: float | None = None
    window: timedelta | None = None


def promises(policy: Path | None) -> Promises:
    """Those of a policy file.

    Raises:
        ConfigurationError: it can't be read.
    """
    if policy is None:
        return Promises()
    said = load(policy).backup_policy
    return Promises(said.objectives.rpo_seconds, said.wal_archiving.recovery_target_time)


async def status(where: Place, home: Path, promised: Promises | None = None) -> Status:
    """Ask the primary first, then the store: what the store then lacks, it lacked when the primary was asked.

    Raises:
        ConfigurationError: there is no archive there, and no cluster here that archives to it.
        ObjectStorageError: the store doesn't answer, or refuses, and no cluster here archives to it.
    """
    archivers, report = await _archivers(where, home), None
    try:
        async with where.opened() as store:
            report = (await look(store, where.keyring)).report
    except (ConfigurationError, ObjectStorageError) as error:
        if archivers is None or archivers.archive is None:
            raise
        loss: Loss | Unproved = Unproved(f"the store can't be read: {error}")
    else:
        loss = measure(report.proved, report.end, archivers.primary if archivers else None, system.now_utc())
    now = system.now_utc()
    problems = _missing(report, promised or Promises(), now) if report else []
    problems += _problems(loss, archivers, promised or Promises(), now)
    return Status(now, where.url, report, loss, archivers, tuple(problems))


async def check(where: Place, say: Callable[[str], None], *, deep: bool) -> Checked:
    """Look for gaps; with `deep` read everything too."""

    def progress(done: int, of: int) -> None:
        if done % REPORT_EACH == 0 or done == of:
            say(f"read {done} of {of} objects")

    async with where.opened() as store:
        looked = await look(store, where.keyring)
        damages = await read_deeply(store, where.keyring, looked, progress) if deep else None
    return Checked(looked.report, damages)


async def _archivers(where: Place, home: Path) -> Archivers | None:
    directory = ClusterDirectory(home)
    if not directory.exists():
        return None
    spec, secrets = directory.load()
    if spec.archive is not None and spec.archive.url != where.url:
        return None  # another store than the one that this cluster archives to
    states = {node.name: read_state(directory.node(node.name).archiver_state) for node in spec.data_nodes}
    primary = (await observation.observe(spec, secrets, directory)).primary
    if primary is None or primary.timeline is None or primary.location is None:
        return Archivers(spec.archive, states, None)
    return Archivers(spec.archive, states, PrimaryEnd(primary.timeline, Lsn(primary.location)))


def _missing(report: WalReport, promised: Promises, now: datetime) -> list[str]:
    said = [f"missing: {gap} ({gap.segments} segments)" for gap in report.continuity.gaps]
    said += [f"missing: {history}" for history in report.continuity.histories]
    if promised.window is not None:
        begin = report.window.begin if report.window else None
        lacking = shortfall(begin, promised.window, report.founded_at, now)
        said += [lacking] if lacking else []
    return said


def _problems(loss: Loss | Unproved, archivers: Archivers | None, promised: Promises, now: datetime) -> list[str]:
    said = []
    archive = archivers.archive if archivers else None
    objective_s = promised.loss_s or (archive.objective_s if archive else DEFAULT_OBJECTIVE_S)
    if isinstance(loss, Unproved):
        said.append(loss.reason)
    elif loss.seconds > objective_s:
        said.append(f"the loss of every node would take {loss.seconds:.1f} s, the objective is {objective_s:g} s")
    if archivers is not None and archive is None:
        said.append("the cluster does not archive")
    elif archivers is not None:
        for node, state in archivers.states.items():
            said += _troubles(node, state, now)
    return said


def _troubles(node: str, state: ArchiverState | None, now: datetime) -> list[str]:
    if state is None:
        return [f"{node}: its archiver has never run"]
    if (now - state.written_at).total_seconds() > STALE_AFTER_S:
        return [f"{node}: its archiver does not run; it was last seen at {state.written_at:%Y-%m-%d %H:%M:%S} UTC"]
    said = []
    if state.failing_since is not None:
        said.append(f"{node}: archiving fails since {state.failing_since:%H:%M:%S} UTC: {state.last_error}")
    said += [f"{node}: {name} is refused: {why}" for name, why in state.refused.items()]
    if state.stream_error is not None:
        said.append(f"{node}: streaming fails: {state.stream_error}")
    return said

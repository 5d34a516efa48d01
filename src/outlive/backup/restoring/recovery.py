"""Lets a private server recover to the plan's target, and finds out whether it got there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from outlive import system
from outlive.backup.plan import arrival as arrivals
from outlive.backup.plan import recovery_settings
from outlive.backup.plan.archived import pieces_by_segment
from outlive.backup.plan.arrival import Arrival
from outlive.backup.plan.failures import Failure, GaveUp
from outlive.backup.plan.recovery import RecoveryPlan
from outlive.backup.plan.recovery_settings import Settings
from outlive.backup.plan.targets import Latest, LsnTarget
from outlive.backup.restoring.extraction import no_room
from outlive.backup.restoring.fetching import complaint, fetch, run
from outlive.backup.restoring.material import Material, Phases, Progress, Tools
from outlive.backup.restoring.server import PrivateServer, RecoveryGaveUpError, private_server
from outlive.backup.restoring.wal_server import WalServer, restore_command
from outlive.backup.restoring.wal_source import WalSource
from outlive.backup.restoring.workspace import Workspace
from outlive.errors import BackupError, ChecksumMismatchError, OutliveError, RecoveryTargetError, WalGapError
from outlive.model.lsn import Lsn, Timeline
from outlive.postgres.identity import own

AUTO_CONF = "postgresql.auto.conf"
PAUSE_LIMIT_S = 3600.0
_STATE = """
select pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp(), left(pg_walfile_name(pg_current_wal_lsn()), 8)
"""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A server that runs on the restored data as a primary, and where its recovery ended."""

    server: PrivateServer
    arrival: Arrival
    settings: Settings


@dataclass(frozen=True, slots=True)
class Pause:
    """A place on the way at which recovery stands still and `look` is called."""

    at: Lsn
    look: Callable[[PrivateServer], Awaitable[None]]


@asynccontextmanager
async def recovered(
    material: Material,
    plan: RecoveryPlan,
    workspace: Workspace,
    tools: Tools,
    phases: Phases,
    pause: Pause | None = None,
) -> AsyncIterator[Recovered]:
    """Fetch, extract and recover; the server runs until the block ends.

    `pause` is left out where the WAL ends before it.

    Raises:
        BackupError: it can't be done, and what is wrong: a damaged object, missing WAL, a full disk.
        RecoveryTargetError: recovery did not end where it should have.
    """
    await fetch(material, plan, workspace, tools, phases)
    settings = await prepare(workspace, tools)
    async with private_server(workspace, tools.programs, tools.major) as server, _wal(material, plan, server) as wal:
        if pause is not None:
            await _pause(plan, pause, server, wal, settings, phases)
        began = system.monotonic()
        arrival = await _replay(plan, server, wal, settings, tools)
        phases.replay_s += system.monotonic() - began
        wrong = arrivals.complaint(plan, arrival)
        if wrong is not None:
            raise RecoveryTargetError(wrong, hint="`outlive wal check` tells whether WAL is missing or damaged.")
        yield Recovered(server, arrival, settings)


async def prepare(workspace: Workspace, tools: Tools) -> Settings:
    """Make the data ready to recover, and read the sizes that it needs."""
    data = workspace.data
    if not (data / "backup_label").exists():
        raise ChecksumMismatchError("the backup has no backup_label, without which recovery begins at the wrong place")
    for name in ("standby.signal", "recovery.signal", "postmaster.pid"):
        (data / name).unlink(missing_ok=True)
    automatic = data / AUTO_CONF
    kept = automatic.read_text() if automatic.exists() else ""
    (workspace.home / AUTO_CONF).write_text(recovery_settings.without_recovery(kept))
    for path in (automatic, data / "recovery.signal"):
        path.write_text("")
        path.chmod(0o600)
    own(workspace.identity, [automatic, data / "recovery.signal", workspace.home / AUTO_CONF])
    done = await run([str(tools.programs / "pg_controldata"), str(data)])
    if done.returncode:
        raise ChecksumMismatchError(f"pg_control can't be read: {complaint(done)}")
    return recovery_settings.sizes(done.stdout)


@asynccontextmanager
async def _wal(material: Material, plan: RecoveryPlan, server: PrivateServer) -> AsyncIterator[WalServer]:
    archived = material.archived
    source = WalSource(material.store, material.keyring, pieces_by_segment(archived), archived.partials)
    wal = WalServer(source.read, plan.wal, material.system_identifier, material.facts.archive.segment_bytes)
    socket = server.sockets / "wal"
    await wal.start(socket)
    own(server.workspace.identity, [socket])
    try:
        yield wal
    finally:
        await wal.stop()


async def _pause(
    plan: RecoveryPlan, pause: Pause, server: PrivateServer, wal: WalServer, settings: Settings, phases: Phases
) -> None:
    """Recover up to the pause, look, and stop the server: it goes on from there."""
    began = system.monotonic()
    until = recovery_settings.recovery(LsnTarget(pause.at), plan.timeline, restore_command(server.sockets / "wal"))
    server.start({**settings, **until, "recovery_target_action": "pause", "hot_standby": "on", "fsync": "off"})
    try:
        await server.wait_until_paused(PAUSE_LIMIT_S)
    except RecoveryGaveUpError as error:
        if wal.error is not None:
            raise wal.error from error
        return
    looked = system.monotonic()
    phases.replay_s += looked - began
    await pause.look(server)
    phases.check_s += system.monotonic() - looked
    await server.stop()


async def _replay(
    plan: RecoveryPlan, server: PrivateServer, wal: WalServer, settings: Settings, tools: Tools
) -> Arrival:
    try:
        return await _replay_to(plan, server, wal, settings, tools)
    except RecoveryGaveUpError as error:
        if wal.error is not None:
            raise wal.error from error
        if error.failure.kind is not GaveUp.ENDED_BEFORE_TARGET or not arrivals.ends_at_the_end(plan):
            raise _meaning(error.failure, plan, server.workspace.into) from error
    # Nothing was written after the wanted moment, so there is no record to stop at: the end of the WAL is it.
    await server.stop()
    arrival = await _replay_to(replace(plan, target=Latest()), server, wal, settings, tools)
    if not arrivals.has_all(plan, arrival):
        raise WalGapError(f"the WAL in the store ends at {arrival.lsn}, before the wanted moment at {plan.until}")
    return arrival


async def _replay_to(
    plan: RecoveryPlan, server: PrivateServer, wal: WalServer, settings: Settings, tools: Tools
) -> Arrival:
    def watch() -> None:
        tools.report(Progress("replay", min(wal.served, len(plan.wal)), len(plan.wal)))

    target = recovery_settings.recovery(plan.target, plan.timeline, restore_command(server.sockets / "wal"))
    server.start({**settings, **target, "fsync": "off" if tools.scratch else "on"})
    try:
        await server.wait_until_ready(tools.replay_limit_s, watch)
    except OutliveError:
        await server.stop()
        raise
    return await _arrival(server)


async def _arrival(server: PrivateServer) -> Arrival:
    connection = await server.connect()
    try:
        lsn, last_commit_at, timeline = await connection.fetchrow(_STATE)
    finally:
        await connection.close()
    return Arrival(Lsn.parse(lsn), last_commit_at, Timeline(int(timeline, 16)))


def _meaning(failure: Failure, plan: RecoveryPlan, into: Path) -> BackupError:
    """What the server's last words mean to whoever restores."""
    match failure.kind:
        case GaveUp.ENDED_BEFORE_TARGET:
            return WalGapError(f"the WAL in the store ends before the wanted moment is reached ({failure.words})")
        case GaveUp.WAL_MISSING:
            return WalGapError(f"WAL that backup {plan.backup.id} needs is missing: {failure.words}")
        case GaveUp.BEFORE_CONSISTENCY | GaveUp.WRONG_TIMELINE:
            return RecoveryTargetError(f"the wanted moment can't be reached from {plan.backup.id}: {failure.words}")
        case GaveUp.DISK_FULL:
            return no_room(into, failure.words)
        case GaveUp.OTHERWISE:
            return BackupError(f"the restored server gave up: {failure.words}")


async def finish(workspace: Workspace, server: PrivateServer, source: str) -> None:
    """Stop the server and make its data an ordinary data directory."""
    await server.stop()
    with suppress(FileNotFoundError):
        (workspace.home / AUTO_CONF).replace(workspace.data / AUTO_CONF)
    await asyncio.to_thread(workspace.hand_over, source)

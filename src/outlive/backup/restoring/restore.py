"""The whole of a restore: choose, claim the directory, fetch, recover, hand over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from outlive import system
from outlive.backup.plan.arrival import Arrival
from outlive.backup.plan.recovery import RecoveryPlan, Wish, choose
from outlive.backup.plan.targets import Impossible, Refusal
from outlive.backup.restoring.material import Material, Phases, Report, Tools
from outlive.backup.restoring.recovery import finish, recovered
from outlive.backup.restoring.server import PrivateServer
from outlive.backup.restoring.workspace import check, claim
from outlive.errors import BackupError, ConfigurationError, OutliveError, RecoveryTargetError, WalGapError
from outlive.postgres import identity, programs
from outlive.postgres.plan.identity import Identity

T = TypeVar("T")
BeforeHandingOver = Callable[[PrivateServer], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Restored:
    """What came into being in `into`: by which plan, where recovery ended, what took how long, and whose it is."""

    into: Path
    plan: RecoveryPlan
    arrival: Arrival
    phases: Phases
    owner: Identity


async def nothing(_server: PrivateServer) -> None:
    """Let the server be handed over as it is."""


async def restore(
    material: Material,
    wish: Wish,
    into: Path,
    *,
    postgres_bin: Path | None = None,
    replace: Path | None = None,
    report: Report = lambda _progress: None,
    prepare: BeforeHandingOver = nothing,
) -> Restored:
    """Make `into` a data directory as the wish has it: recovered, stopped in order, ready to be started.

    `prepare` is called with the recovered server before it is stopped. Where anything fails, and on Ctrl-C, `into` is
    left as empty as it was; after a kill -9 the next restore clears it.

    Raises:
        RecoveryTargetError, WalGapError, BackupError: it can't be had, and why; or recovery failed.
        ConfigurationError: a key is missing, or the directory can't be had.
    """
    plan = decided(material, wish)
    check(into, replace)
    tools = chosen_tools(material, plan, postgres_bin, report)
    who = await asyncio.to_thread(identity.decide, into, str(tools.programs))
    phases = Phases()
    with claim(into, who, material.store.url, replace=replace) as workspace:
        async with recovered(material, plan, workspace, tools, phases) as result:
            await prepare(result.server)
            await finish(workspace, result.server, material.store.url)
            return Restored(into, plan, result.arrival, phases, who)


def decided(material: Material, wish: Wish) -> RecoveryPlan:
    """The plan for a wish.

    Raises:
        OutliveError: there is none, and why.
    """
    return granted(choose(material.facts, wish, system.now_utc()))


def granted(found: T | Refusal) -> T:
    """What was asked for.

    Raises:
        OutliveError: it was refused, and why.
    """
    if isinstance(found, Refusal):
        raise _refusal(found)
    return found


def _refusal(refused: Refusal) -> OutliveError:
    match refused.kind:
        case Impossible.IN_A_GAP:
            return WalGapError(refused.reason, hint=refused.hint)
        case Impossible.NO_BACKUP | Impossible.CHAIN_BROKEN:
            return BackupError(refused.reason, hint=refused.hint)
        case Impossible.KEY_MISSING | Impossible.UNCLEAR | Impossible.UNKNOWN_NAME:
            return ConfigurationError(refused.reason, hint=refused.hint)
        case _:
            return RecoveryTargetError(refused.reason, hint=refused.hint)


def chosen_tools(
    material: Material, plan: RecoveryPlan, postgres_bin: Path | None, report: Report, *, scratch: bool = False
) -> Tools:
    """PostgreSQL's programs of the release that the backup needs.

    Raises:
        ConfigurationError: those that are here are of another one.
    """
    found = programs.directory(postgres_bin)
    here, needed = programs.major_version(found), material.backups[plan.backup.id].major
    if here != needed:
        raise ConfigurationError(
            f"backup {plan.backup.id} was taken from PostgreSQL {needed}, and {found} holds PostgreSQL {here}",
            hint=f"Name the programs of PostgreSQL {needed} with --postgres-bin.",
        )
    return Tools(programs=found, major=here, report=report, scratch=scratch)

"""Restores for the tests, and questions to what was restored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from integration.backup.hand_made import PROGRAMS, now
from outlive.backup.plan.recovery import RecoveryPlan, Wish, choose
from outlive.backup.plan.targets import Target
from outlive.backup.restoring.material import Material, Phases, Tools
from outlive.backup.restoring.recovery import Recovered, recovered
from outlive.backup.restoring.workspace import Workspace, claim
from outlive.postgres import identity

TOOLS = Tools(programs=PROGRAMS, major=18, replay_limit_s=300.0, scratch=True)


def planned(material: Material, target: Target, backup: str | None = None) -> RecoveryPlan:
    """The plan, where there is one."""
    plan = choose(material.facts, Wish(target=target, backup=backup), now())
    assert isinstance(plan, RecoveryPlan), plan
    return plan


@asynccontextmanager
async def restored(
    material: Material, target: Target, into: Path, backup: str | None = None
) -> AsyncIterator[tuple[Workspace, Recovered]]:
    """A server that was recovered to the target."""
    plan = planned(material, target, backup)
    who = identity.decide(into, str(PROGRAMS))
    with claim(into, who, material.store.url) as workspace:
        async with recovered(material, plan, workspace, TOOLS, Phases()) as server:
            yield workspace, server


async def ask(server: Recovered, question: str) -> object:
    """The first value of a query."""
    connection = await server.server.connect()
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()

"""Waiting for conditions, with a deadline, and telling a long wait from a busy machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import outlive
from outlive.client.plan.synchronous import InForce
from outlive.client.plan.topology import Primary

POLL_S = 0.01
LIMIT_S = 60.0
"""Only bounds a wait: a machine may be ten times as slow for some seconds."""
TICK_S = 0.05


async def until(condition: Callable[[], bool | Awaitable[bool]], limit_s: float = LIMIT_S) -> None:
    """Return once `condition` holds; fails after `limit_s` seconds."""
    async with asyncio.timeout(limit_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(POLL_S)


async def all_known(db: outlive.Cluster) -> None:
    """Return once a client knows every node, and how far each standby is.

    It starts as soon as one has answered; on a busy machine another may miss the first question.
    """
    await until(
        lambda: (
            len(db.topology.nodes) == len(db.dsn.hosts)
            and all(node.replay_lag_s is not None for node in db.topology.nodes)
        )
    )


def in_force(db: outlive.Cluster) -> tuple[str, ...] | None:
    """The standbys that confirm commits, as far as a client knows; None if it knows of no primary."""
    match db._running().monitor.view.writable:
        case Primary(_, InForce(standbys=standbys)):
            return standbys
        case Primary():
            return ()
        case _:
            return None


@dataclass
class Waited:
    """How long this process was free to wait, at most."""

    seconds: float = 0.0


@asynccontextmanager
async def waited() -> AsyncIterator[Waited]:
    """Counts the ticks that come while the block runs: a second that the machine spent on others has few of them."""
    told = Waited()

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            told.seconds += TICK_S

    ticking = asyncio.create_task(tick())
    try:
        yield told
    finally:
        ticking.cancel()

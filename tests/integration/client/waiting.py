"""Waiting for conditions, with a deadline, and telling a long wait from a busy machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

POLL_S = 0.01
TICK_S = 0.05


async def until(condition: Callable[[], bool | Awaitable[bool]], limit_s: float = 10.0) -> None:
    """Return once `condition` holds; fails after `limit_s` seconds."""
    async with asyncio.timeout(limit_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(POLL_S)


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

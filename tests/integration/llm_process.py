"""A process that asks for an answer, says that it computes it, and never gets it: it is there to be killed.

python llm_process.py DSN PROMPT LEASE_S
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

import outlive
from outlive.stores import AgentState
from outlive.stores.llm_cache import LlmCache
from outlive.stores.statements import WRITE_TIMEOUT_S


def patient(db: outlive.Cluster) -> LlmCache:
    """The cache with the time of the other stores: it is done without so soon that a busy machine pays twice."""
    cache = AgentState(db).llm_cache
    cache._statements = replace(cache._statements, timeout_s=WRITE_TIMEOUT_S)
    return cache


async def never() -> None:
    """Compute for ever."""
    sys.stdout.write("computing\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def ask(dsn: str, prompt: str, lease_s: float) -> None:
    """Ask once."""
    async with outlive.connect(dsn) as db:
        await patient(db).get_or_compute("model", prompt, {}, never, lease_s=lease_s)


if __name__ == "__main__":
    asyncio.run(ask(sys.argv[1], sys.argv[2], float(sys.argv[3])))

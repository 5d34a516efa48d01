"""The queue of tasks on three nodes: enqueues by how workers are woken, and claims beside many ended tasks.

python bench/tasks.py --ended 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import outlive
from outlive.stores import AgentState, NewTask, migrate
from outlive.stores.queries import queries
from outlive.stores.statements import Statements
from outlive.stores.task_records import task_columns
from outlive.testing import LocalCluster

WRITERS, SECONDS, CLAIMS = 32, 4.0, 200
NOTIFYING = """
WITH kept AS MATERIALIZED (SELECT id FROM outlive.enqueue_tasks($1, $2, $3, $4, $5, $6, $7, $8)),
told AS MATERIALIZED (SELECT pg_notify('outlive_tasks', $1[1]))
SELECT count(*) FROM kept, told
"""
FILL = """
INSERT INTO outlive.tasks (queue, key, status, payload, max_attempts, ended_at, result)
SELECT 'claims', 'ended-' || n, 'finished', '{}', 5, now(), '{}' FROM generate_series($1::bigint, $2::bigint) AS n
"""
BATCH = 100_000


async def a_second(call: Callable[[], Awaitable[object]]) -> float:
    """How many of these calls end in a second, from many tasks."""
    done, until = count(), time.perf_counter() + SECONDS

    async def writer() -> None:
        while time.perf_counter() < until:
            await call()
            next(done)

    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    return next(done) / SECONDS


async def enqueues(db: outlive.Cluster) -> dict[str, float]:
    """Enqueues a second of each way to wake workers."""
    statements, state = Statements(db), AgentState(db)

    async def write(sql: str) -> None:
        await statements.write_all(sql, *task_columns([NewTask("enqueues", {"n": 1})], 1000), None)

    return {
        "woken by a transaction of its own (as it is)": await a_second(lambda: state.tasks.enqueue("enqueues", 1)),
        "woken by the same transaction": await a_second(lambda: write(NOTIFYING)),
        "nobody woken": await a_second(lambda: write(queries("tasks")["enqueue"])),
    }


async def claim_ms(state: AgentState) -> tuple[float, float]:
    """The median milliseconds of a claim of one task, and of its end."""
    await state.tasks.enqueue_all([NewTask("claims", number) for number in range(CLAIMS)])
    claims, ends = [], []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        (held,) = await state.tasks.claim("claims", worker="bench")
        claimed = time.perf_counter()
        await held.finish()
        claims.append((claimed - began) * 1e3)
        ends.append((time.perf_counter() - claimed) * 1e3)
    return statistics.median(claims), statistics.median(ends)


async def measure(dsn: str, ended: int) -> None:
    """Print what was measured."""
    await migrate(dsn)
    async with outlive.connect(dsn, pool_size=WRITERS) as db:
        state = AgentState(db)
        for name, rate in (await enqueues(db)).items():
            print(f"enqueues a second, {WRITERS} at once, {name}: {rate:,.0f}")
        for kept in (0, ended):
            for first in range(1, kept, BATCH):
                await db.execute(FILL, first, min(first + BATCH - 1, kept), timeout=120.0)
            claim, end = await claim_ms(state)
            print(f"beside {kept:,} ended tasks: claim {claim:.2f} ms, finish {end:.2f} ms (medians of {CLAIMS})")


async def _main(ended: int) -> None:
    with tempfile.TemporaryDirectory(prefix="outlive-tasks-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        cluster = LocalCluster(Path(scratch) / "cluster", nodes=3)
        try:
            await measure(await cluster.start(), ended)
        finally:
            await cluster.stop(destroy=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ended", type=int, default=1_000_000, help="how many ended tasks to keep beside the claims")
    asyncio.run(_main(parser.parse_args().ended))

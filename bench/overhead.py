"""What the client itself takes of the processor for a keyed insert, beside the driver alone with the same statement.

python bench/overhead.py
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg

import outlive
from outlive.client.plan.single import with_key
from outlive.stores import migrate
from outlive.testing import LocalCluster

ROUNDS, CALLS = 7, 500
INSERT = "INSERT INTO overhead (payload) VALUES ($1)"
PAYLOAD, REQUEST = "x" * 200, b"x" * 32


async def _processor_us(call: Callable[[], Awaitable[object]]) -> float:
    before = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - before) / CALLS * 1e6


async def measure(dsn: str) -> dict[str, float]:
    """Microseconds of this process for one insert, the median of the rounds."""
    await migrate(dsn)
    driver = await asyncpg.connect(dsn)
    await driver.execute("CREATE TABLE overhead (payload text NOT NULL)")
    names = await driver.fetchval("SHOW synchronous_standby_names")
    text = with_key(INSERT, 1, "outlive.keys", 1, names)
    async with outlive.connect(dsn) as db:
        contestants: dict[str, Callable[[], Awaitable[object]]] = {
            "driver": lambda: driver.execute(text, PAYLOAD, outlive.new_key(), REQUEST),
            "client": lambda: db.batch([(INSERT, [PAYLOAD])], key=outlive.new_key()),
        }
        rounds = [[await _processor_us(call) for call in contestants.values()] for _ in range(ROUNDS)]
    await driver.close()
    return dict(zip(contestants, map(statistics.median, zip(*rounds, strict=True)), strict=True))


async def _main() -> None:
    with tempfile.TemporaryDirectory(prefix="outlive-overhead-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        cluster = LocalCluster(Path(scratch) / "cluster")
        try:
            for name, microseconds in (await measure(await cluster.start())).items():
                print(f"{name}: {microseconds:.0f} us")
        finally:
            await cluster.stop()


if __name__ == "__main__":
    asyncio.run(_main())

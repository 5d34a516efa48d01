"""What the client itself takes of the processor: without a server, and for a keyed insert beside the driver alone.

python bench/overhead.py
python bench/overhead.py --profile insert --tasks 32
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import asyncpg

import at_once
import outlive
from outlive.client import coalesce
from outlive.client.plan.single import with_key
from outlive.stores import migrate
from outlive.testing import LocalCluster

ROUNDS, CALLS, LINES = 15, 640, 40
INSERT = "INSERT INTO overhead (payload) VALUES ($1)"
UPDATE = "UPDATE counter SET value = value + 1 WHERE id = $1"
PAYLOAD, REQUEST = "x" * 200, b"x" * 32

Call = Callable[[], Awaitable[object]]


async def _processor_us(call: Call, tasks: int) -> float:
    """Microseconds of this process a call, the median of the rounds."""

    async def work() -> None:
        for _ in range(CALLS // tasks):
            await call()

    found = []
    for _ in range(ROUNDS):
        before = time.process_time()
        await asyncio.gather(*(work() for _ in range(tasks)))
        found.append((time.process_time() - before) / (CALLS // tasks * tasks) * 1e6)
    return statistics.median(found)


def _calls(db: outlive.Cluster) -> Mapping[str, Call]:
    target = coalesce.Target("overhead", ('"payload"',), ("pg_catalog.text",), has_arrays=False)
    terms = db._terms("critical", None)  # noqa: SLF001 - `writer` would ask a server for the columns
    writer = coalesce.Writer(db._running(), terms, target, exactly_once=False, timeout_s=60)  # noqa: SLF001

    async def three(tx: outlive.Transaction) -> None:
        await tx.execute(INSERT, PAYLOAD)
        await tx.execute(UPDATE, "1")
        await tx.fetchval("SELECT 1")

    return {
        "select": lambda: db.fetchval("SELECT 1"),
        "insert": lambda: db.batch([(INSERT, [PAYLOAD])], key=outlive.new_key()),
        "transaction": lambda: db.run(three, key=outlive.new_key()),
        "batch": lambda: db.batch([(INSERT, [PAYLOAD]), (UPDATE, ["1"])], key=outlive.new_key()),
        "append": lambda: writer.append(PAYLOAD),
    }


async def without_server(tasks: tuple[int, ...]) -> list[str]:
    """A line an operation: microseconds a call with so many tasks at once; a bare call of that driver comes first."""
    async with at_once.connected() as db:
        bare = at_once.bare()
        calls = {"driver alone": lambda: bare.execute(INSERT), **_calls(db)}
        lines = []
        for name, call in calls.items():
            costs = [await _processor_us(call, count) for count in tasks]
            lines.append(f"{name:12}" + "".join(f"{cost:8.1f} us" for cost in costs))
        return lines


async def profile(operation: str, tasks: int) -> list[str]:
    """Where that time goes: microseconds and calls an operation of each function, the largest first."""
    async with at_once.connected() as db:
        call = _calls(db)[operation]
        await _processor_us(call, tasks)
        with cProfile.Profile() as profiler:
            await _processor_us(call, tasks)
    done = ROUNDS * (CALLS // tasks * tasks)
    found = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    largest = sorted(((own_s, count, place) for place, (_, count, own_s, _, _) in found.items()), reverse=True)
    return [
        f"{own_s / done * 1e6:7.2f} us {count / done:6.2f} x  {Path(file).name}:{line} {name}"
        for own_s, count, (file, line, name) in largest[:LINES]
    ]


async def with_server() -> list[str]:
    """A keyed insert on a real cluster, by the client and by a bare connection with the very same statement."""
    with tempfile.TemporaryDirectory(prefix="outlive-overhead-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        cluster = LocalCluster(Path(scratch) / "cluster")
        try:
            return await _beside_driver(await cluster.start())
        finally:
            await cluster.stop()


async def _beside_driver(dsn: str) -> list[str]:
    await migrate(dsn)
    driver = await asyncpg.connect(dsn)
    await driver.execute("CREATE TABLE overhead (payload text NOT NULL)")
    names = await driver.fetchval("SHOW synchronous_standby_names")
    text = with_key(INSERT, 1, "outlive.keys", 1, names)
    async with outlive.connect(dsn) as db:
        calls: dict[str, Call] = {
            "driver": lambda: driver.execute(text, PAYLOAD, outlive.new_key(), REQUEST),
            "client": lambda: db.batch([(INSERT, [PAYLOAD])], key=outlive.new_key()),
        }
        lines = [f"{name:12}{await _processor_us(call, 1):8.1f} us" for name, call in calls.items()]
    await driver.close()
    return lines


async def _main(arguments: argparse.Namespace) -> None:
    if arguments.profile:
        print("\n".join(await profile(arguments.profile, arguments.tasks)))
        return
    print("without a server, 1 task and 32:", *await without_server((1, 32)), sep="\n")
    print("\na keyed insert on a cluster, 1 task:", *await with_server(), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", metavar="OPERATION", help="select, insert, transaction, batch or append")
    parser.add_argument("--tasks", type=int, default=1, help="how many at once are profiled (default 1)")
    asyncio.run(_main(parser.parse_args()))

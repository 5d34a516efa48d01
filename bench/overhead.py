"""What the client takes of the processor: its import, its calls without a server, and its part beside the servers'.

python bench/overhead.py --docs
python bench/overhead.py --import
python bench/overhead.py --profile insert --tasks 32
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import asyncpg

import at_once
import outlive
import processor
from outlive.client import coalesce
from outlive.client.plan.single import with_key
from outlive.stores import migrate
from outlive.testing import LocalCluster

ROUNDS, CALLS, LINES = 15, 640, 40
INSERT = "INSERT INTO overhead (payload) VALUES ($1)"
UPDATE = "UPDATE counter SET value = value + 1 WHERE id = $1"
COUNT = "UPDATE overhead_counter SET value = value + 1 WHERE id = $1"
COUNTERS = 1000
COUNTER = f"""
CREATE TABLE overhead_counter (id int PRIMARY KEY, value bigint NOT NULL);
INSERT INTO overhead_counter SELECT n, 0 FROM generate_series(0, {COUNTERS - 1}) n"""
PAYLOAD, REQUEST = "x" * 200, b"x" * 32
POOL_SIZE = 10
PAGE = Path(__file__).parents[1] / "docs/explanation/performance.md"

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
        heads = " | ".join(f"{count} {'task' if count == 1 else 'tasks'}" for count in tasks)
        lines = [f"| us a call, without a server | {heads} |", f"{'|---' * (len(tasks) + 1)}|"]
        for name, call in calls.items():
            costs = [await _processor_us(call, count) for count in tasks]
            lines.append(f"| {name} | {' | '.join(f'{cost:.1f}' for cost in costs)} |")
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


def imported() -> list[str]:
    """Milliseconds of the processor that an import takes beyond the interpreter's start, the median of the rounds."""
    programs = ("pass", "import asyncpg", "import outlive")
    found: dict[str, list[float]] = {program: [] for program in programs}
    for _ in range(ROUNDS):
        for program in programs:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found[program].append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
    start_ms = statistics.median(found["pass"])
    return [
        "| program | processor, ms | of that the interpreter's start |",
        "|---|---|---|",
        *(f"| `{name}` | {statistics.median(found[name]):.0f} | {start_ms:.0f} |" for name in programs[1:]),
    ]


async def with_server(tasks: int) -> list[str]:
    """The keyed insert and the batch on a real cluster, beside a pool of the driver and its bare connections."""
    with tempfile.TemporaryDirectory(prefix="outlive-overhead-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        cluster = LocalCluster(Path(scratch) / "cluster")
        try:
            return await _beside_driver(await cluster.start(), Path(scratch), tasks)
        finally:
            await cluster.stop()


async def _beside_driver(dsn: str, root: Path, tasks: int) -> list[str]:
    await migrate(dsn)
    async with asyncpg.create_pool(dsn, min_size=POOL_SIZE, max_size=POOL_SIZE) as pool, outlive.connect(dsn) as db:
        await pool.execute(f"CREATE TABLE overhead (payload text NOT NULL); {COUNTER}")
        names = await pool.fetchval("SHOW synchronous_standby_names")
        connections = [await asyncpg.connect(dsn) for _ in range(tasks)]
        contestants = {**_of_pool(pool), **_bare(connections, names), **_of_client(db)}
        found = await processor.shares(contestants, root, tasks=tasks, rounds=ROUNDS)
        await asyncio.gather(*(connection.close() for connection in connections))
    kinds = (*processor.KINDS, "sum")
    lines = [f"| {tasks} tasks, us a call | {' | '.join(kinds)} |", f"{'|---' * (len(kinds) + 1)}|"]
    lines += [f"| {name} | {' | '.join(f'{used[kind]:.0f}' for kind in kinds)} |" for name, used in found.items()]
    return lines


def _of_pool(pool: asyncpg.Pool) -> dict[str, Call]:
    async def transaction() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(INSERT, PAYLOAD)
            await connection.execute(COUNT, random.randrange(COUNTERS))  # noqa: S311 - it only spreads the rows

    return {
        "insert, asyncpg's pool": lambda: pool.execute(INSERT, PAYLOAD),
        "transaction, asyncpg's pool": transaction,
    }


def _bare(connections: list[asyncpg.Connection], names: str) -> dict[str, Call]:
    """The very statement of a keyed insert, on a connection a task that nobody has to judge or reset."""
    free = list(connections)
    text = with_key(INSERT, 1, "outlive.keys", 1, names)

    async def with_its_key() -> None:
        connection = free.pop()
        await connection.execute(text, PAYLOAD, outlive.new_key(), REQUEST)
        free.append(connection)

    return {"keyed insert, bare connections": with_its_key}


def _of_client(db: outlive.Cluster) -> dict[str, Call]:
    def batch() -> Awaitable[object]:
        counted = (COUNT, [random.randrange(COUNTERS)])  # noqa: S311
        return db.batch([(INSERT, [PAYLOAD]), counted], key=outlive.new_key())

    return {
        "keyed insert, outlive": lambda: db.batch([(INSERT, [PAYLOAD])], key=outlive.new_key()),
        "keyed batch, outlive": batch,
    }


def _document(parts: Mapping[str, list[str]]) -> None:
    text = PAGE.read_text()
    for name, lines in parts.items():
        marks = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = marks.sub(lambda found, lines=lines: found[1] + "\n".join(lines) + "\n" + found[2], text)  # type: ignore[misc]
    PAGE.write_text(text)


async def _main(arguments: argparse.Namespace) -> None:
    if arguments.profile:
        print("\n".join(await profile(arguments.profile, arguments.tasks)))
        return
    parts = {"import": imported()}
    if not arguments.imports:
        parts["calls"] = await without_server((1, 32))
        parts["shares"] = await with_server(arguments.tasks)
    for lines in parts.values():
        print(*lines, "", sep="\n")
    if arguments.docs:
        _document(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", metavar="OPERATION", help="select, insert, transaction, batch or append")
    parser.add_argument("--import", dest="imports", action="store_true", help="the import alone")
    parser.add_argument("--tasks", type=int, default=8, help="how many at once on a cluster or profiled (default 8)")
    parser.add_argument("--docs", action="store_true", help="write the figures into the documentation")
    asyncio.run(_main(parser.parse_args()))

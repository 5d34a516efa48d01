"""`make bench-client`: outlive beside what else reaches PostgreSQL, on one real cluster, in one run.

python bench/client.py --rounds 30 --json bench.json --svg bench.svg
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import asyncpg

import distance
from outlive.stores import migrate
from outlive.testing import LocalCluster
from peers import COUNTERS, PEERS, REFERENCE
from plot import draw
from slices import Figure, Operation, compare

TASKS = (1, 8, 32)
OPERATIONS = ("select", "insert", "transaction", "batch", "append")
DOCS = Path(__file__).parents[1] / "docs/explanation"
MARKS = r"(<!-- {0}: .*? -->\n).*?(<!-- /{0} -->)"
Results = dict[str, dict[int, dict[str, Figure]]]


async def measure(dsn: str, rounds: int, tasks: tuple[int, ...]) -> Results:
    """Every operation with every number of tasks; peers that lack an operation are left out of it."""
    results: Results = {}
    async with AsyncExitStack() as stack:
        peers = {name: await stack.enter_async_context(peer(dsn)) for name, peer in PEERS.items()}
        for operation in OPERATIONS:
            contestants = {name: peer[operation] for name, peer in peers.items() if operation in peer}
            if operation not in peers["outlive"]:
                continue
            # What the reference has no name for is measured against its nearest thing.
            contestants.setdefault(REFERENCE, peers[REFERENCE][_NEAREST.get(operation, operation)])
            for count in tasks:
                results.setdefault(operation, {})[count] = await _measure(contestants, count, rounds)
    return results


_NEAREST = {"batch": "transaction", "append": "insert"}


async def _measure(contestants: dict[str, Operation], tasks: int, rounds: int) -> dict[str, Figure]:
    return await compare(contestants, REFERENCE, tasks=tasks, rounds=rounds)


async def _prepare(dsn: str) -> None:
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE TABLE bench (id bigserial PRIMARY KEY, payload text NOT NULL)")
        await connection.execute("CREATE TABLE bench_counter (id int PRIMARY KEY, value bigint NOT NULL)")
        await connection.execute(f"INSERT INTO bench_counter SELECT n, 0 FROM generate_series(0, {COUNTERS - 1}) n")
    finally:
        await connection.close()


def show(results: Results) -> str:
    """A table a person reads: ratios to the reference with their middle half, and operations a second."""
    lines = [f"ratio to the {REFERENCE} (middle half of the rounds), operations a second"]
    for operation, by_tasks in results.items():
        for tasks, figures in by_tasks.items():
            lines.append(f"\n{operation}, {tasks} {'task' if tasks == 1 else 'tasks'}")
            for name, figure in sorted(figures.items(), key=lambda item: -item[1].ratio):
                spread = f"({figure.low:.2f} - {figure.high:.2f})"
                lines.append(f"  {name:14} {figure.ratio:5.2f} {spread:15} {figure.per_second:9,.0f}/s")
    return "\n".join(lines)


def table(results: Results) -> str:
    """The same for a page: a line an operation and number of tasks, a column a contestant."""
    names = list(PEERS)
    lines = [f"| operation | tasks | {' | '.join(names)} | outlive, a second |", f"{'|---' * (len(names) + 3)}|"]
    for operation, by_tasks in results.items():
        for tasks, figures in by_tasks.items():
            ratios = [f"{figures[name].ratio:.2f}" if name in figures else "" for name in names]
            lines.append(f"| {operation} | {tasks} | {' | '.join(ratios)} | {figures['outlive'].per_second:,.0f} |")
    return "\n".join(lines) + "\n"


def _document(results: Results, distances: distance.Distances) -> None:
    page = DOCS / "performance.md"
    text = page.read_text()
    for name, content in (("speed", table(results)), ("distance", distance.table(distances))):
        marks = re.compile(MARKS.format(name), re.DOTALL)
        text = marks.sub(lambda found, content=content: f"{found[1]}{content}{found[2]}", text)  # type: ignore[misc]
    page.write_text(text)
    draw(results, REFERENCE, DOCS / "client-speed.svg")


async def _main(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="outlive-bench-") as scratch:
        Path(scratch).chmod(0o755)
        cluster = LocalCluster(Path(scratch) / "cluster")
        try:
            dsn = await cluster.start(lambda line: print(line, file=sys.stderr))
            await _prepare(dsn)
            results = await measure(dsn, arguments.rounds, tuple(arguments.tasks)) if arguments.rounds else {}
            distances = await distance.measure(dsn, arguments.round_trip_ms / 1000)
        finally:
            await cluster.stop()
    print(show(results))
    print(f"\nwith a round trip of {arguments.round_trip_ms:g} ms\n{distance.table(distances)}")
    if arguments.json:
        plain = {name: {n: {p: asdict(f) for p, f in fs.items()} for n, fs in b.items()} for name, b in results.items()}
        far = {name: {p: asdict(trips) for p, trips in found.items()} for name, found in distances.items()}
        arguments.json.write_text(json.dumps({"speed": plain, "distance": far}, indent=2) + "\n")
    if arguments.docs:
        _document(results, distances)
    if arguments.svg:
        draw(results, REFERENCE, arguments.svg)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="rounds of 0.1 s a contestant (default 30), 0 for none")
    parser.add_argument("--round-trip-ms", type=float, default=4.0, help="of the network that is far away (default 4)")
    parser.add_argument("--tasks", type=int, nargs="+", default=list(TASKS), help="how many tasks at once")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--docs", action="store_true", help="write table and picture into the documentation")
    parser.add_argument("--svg", type=Path, help="draw them to this file")
    asyncio.run(_main(parser.parse_args()))

"""Graphs whose program is killed: what the next program does again, with ours and with LangGraph's own saver.

python bench/graph_workers.py --docs

A program of its own runs twenty graphs of ten nodes at once, and says to a ledger outside the database when a node
begins. In the midst of it the program is killed, and a second one goes on with each thread from where it
stands; three times for each saver and each of LangGraph's durabilities that save as they go, by turns.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph

from graph_faults import NODES, PAGE, ROUNDS, RUNS, SAVERS, WORK_S, State
from outlive.stores import migrate
from outlive.testing import LocalCluster

MARKS = re.compile(r"(<!-- graph-workers: .*? -->\n).*?(<!-- /graph-workers -->)", re.DOTALL)
NAMES = [f"n{number}" for number in range(NODES)]
CONTESTANTS = [(name, durability) for durability in ("async", "sync") for name in ("Outlive", "AsyncPostgresSaver")]
"""LangGraph's default is "async"."""
LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of the nodes of a saver's graphs."""

    run_again: int
    """Nodes that had begun when the program was killed, and began again."""
    behind_run_again: int
    """Those of them behind which the next node had begun already."""
    wrong: int
    """Threads with a node missing or doubled in the end."""
    took_s: float
    """From the beginning of the second program to its end."""


def _graph(saver: BaseCheckpointSaver[Any] | None, ledger: Any) -> Any:
    builder = StateGraph(State)
    before = START
    for name in NAMES:
        builder.add_node(name, _node(name, ledger))
        builder.add_edge(before, name)
        before = name
    return builder.compile(checkpointer=saver)


def _node(name: str, ledger: Any) -> Any:
    async def node(_state: State, config: RunnableConfig) -> dict[str, Any]:
        thread = config["configurable"]["thread_id"]
        ledger.write(f"{thread} {name}\n")
        await asyncio.sleep(WORK_S)
        return {"done": [name]}

    return node


async def work(name: str, durability: str, dsn: str, ledger: Path, threads: list[str]) -> None:
    """The program: runs each thread to its end, from where it stands."""
    with ledger.open("a", buffering=1) as told:
        async with SAVERS[name](dsn) as saver:
            graph = _graph(saver, told)
            await asyncio.gather(*(_see_through(graph, thread, durability) for thread in threads))


async def _see_through(graph: Any, thread: str, durability: str) -> None:
    config: RunnableConfig = {"configurable": {"thread_id": thread}}
    begun = (await graph.aget_state(config)).values
    await graph.ainvoke(None if begun else {"done": []}, config, durability=durability)


async def watch(dsn: str, name: str, durability: str, scratch: Path) -> Seen:
    """Kill the program in the midst of its work, let another go on, and count."""
    ledger, threads = scratch / f"{uuid4()}.ledger", [str(uuid4()) for _ in range(RUNS)]
    ledger.touch()
    first = await _program(name, durability, dsn, ledger, threads)
    until = time.monotonic() + LIMIT_S
    while len(_told(ledger)) < RUNS * NODES // 2:
        if first.returncode is not None or time.monotonic() > until:
            raise SystemExit(f"the program with {name} did not get to the midst of its work")
        await asyncio.sleep(0.005)
    first.kill()
    await first.wait()
    began = _told(ledger)
    last = dict(began)  # of each thread the node that began last
    started = time.monotonic()
    second = await _program(name, durability, dsn, ledger, threads)
    if await asyncio.wait_for(second.wait(), LIMIT_S):
        raise SystemExit(f"the second program with {name} failed")
    took_s = time.monotonic() - started
    again = Counter(_told(ledger)) - Counter(began)
    return Seen(
        run_again=sum(times for node, times in again.items() if node in began),
        behind_run_again=sum(again[thread, node] for thread, node in set(began) if last[thread] != node),
        wrong=await _wrong(name, dsn, threads),
        took_s=took_s,
    )


async def _wrong(name: str, dsn: str, threads: list[str]) -> int:
    async with SAVERS[name](dsn) as saver:
        graph = _graph(saver, None)
        states = [await graph.aget_state({"configurable": {"thread_id": each}}) for each in threads]
        return sum(state.values.get("done") != NAMES for state in states)


async def _program(
    name: str, durability: str, dsn: str, ledger: Path, threads: list[str]
) -> asyncio.subprocess.Process:
    arguments = (__file__, "--work", name, durability, dsn, str(ledger), *threads)
    return await asyncio.create_subprocess_exec(sys.executable, *arguments)


def _told(ledger: Path) -> list[tuple[str, str]]:
    """Of which thread which node began, in order."""
    lines = (line.split() for line in ledger.read_text().splitlines())
    return [(line[0], line[1]) for line in lines if len(line) == 2]


def table(results: dict[tuple[str, str], list[Seen]]) -> str:
    """For a page: the sums of all rounds, and the seconds of one."""
    lines = [
        f"| saver | durability | nodes of {ROUNDS * RUNS * NODES} run again "
        "| those behind which another had begun | threads with a node missing or doubled | seconds to the end |",
        "|---|---|---|---|---|---|",
    ]
    for (name, durability), rounds in results.items():
        *counts, took_s = (sum(column) for column in zip(*map(astuple, rounds), strict=True))
        lines.append(f"| {name} | {durability} | {' | '.join(map(str, counts))} | {took_s / len(rounds):.1f} |")
    return "\n".join(lines) + "\n"


async def _main(arguments: argparse.Namespace) -> None:
    results: dict[tuple[str, str], list[Seen]] = {each: [] for each in CONTESTANTS}
    with tempfile.TemporaryDirectory(prefix="outlive-bench-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        cluster = LocalCluster(Path(scratch) / "cluster")
        try:
            dsn = await cluster.start(lambda line: print(line, file=sys.stderr))
            await migrate(dsn)
            for _ in range(ROUNDS):
                for (name, durability), rounds in results.items():
                    rounds.append(await watch(dsn, name, durability, Path(scratch)))
                    print(name, durability, rounds[-1], file=sys.stderr)
        finally:
            await cluster.stop()
    print(table(results))
    if arguments.docs:
        PAGE.write_text(MARKS.sub(lambda found: f"{found[1]}{table(results)}{found[2]}", PAGE.read_text()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help="write the table into the documentation")
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        name, durability, dsn, ledger, *threads = given.work
        asyncio.run(work(name, durability, dsn, Path(ledger), threads))
    else:
        asyncio.run(_main(given))

"""Graphs whose primary is killed under them: what the users of ours and of LangGraph's own saver see.

python bench/graph_faults.py --docs

Each saver runs twenty graphs of ten nodes at once, three times, with LangGraph's default durability; in their midst
the node of the primary is killed, Patroni and PostgreSQL. A run that raises is resumed by hand, as its user would
have to. What each node did is kept outside the database.
"""

from __future__ import annotations

import argparse
import asyncio
import operator
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.errors import EmptyInputError
from langgraph.graph import START, StateGraph
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

import outlive
from outlive.adapters.langgraph import OutliveSaver
from outlive.stores import migrate
from outlive.testing import LocalCluster

ROUNDS, RUNS, NODES = 3, 20, 10
WORK_S = 0.05
RESUME_S = 60.0
"""How long a run that raised is resumed, again and again, before it is given up."""
PAGE = Path(__file__).parents[1] / "docs/explanation/state.md"
MARKS = re.compile(r"(<!-- graph-faults: .*? -->\n).*?(<!-- /graph-faults -->)", re.DOTALL)


class State(TypedDict):
    """What the nodes did, in order."""

    done: Annotated[list[str], operator.add]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the users of a saver saw."""

    saver: str
    raised: int
    resumes: int
    errors: dict[str, int]
    run_again: int
    lost: int
    took_s: float


@asynccontextmanager
async def ours(dsn: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """Ours."""
    async with outlive.connect(dsn) as db:
        yield OutliveSaver(db)


@asynccontextmanager
async def theirs(
    dsn: str, check: Callable[[Any], Awaitable[None]] | None = None
) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """LangGraph's own, on a pool that looks for the primary among all nodes."""
    async with AsyncConnectionPool(
        f"{dsn}&target_session_attrs=read-write&connect_timeout=2",
        min_size=2,
        max_size=10,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
        check=check,
    ) as pool:
        saver = AsyncPostgresSaver(pool)
        await saver.setup()
        yield saver


SAVERS: dict[str, Callable[[str], AbstractAsyncContextManager[BaseCheckpointSaver[Any]]]] = {
    "Outlive": ours,
    "AsyncPostgresSaver": theirs,
    "AsyncPostgresSaver, checking each connection": partial(theirs, check=AsyncConnectionPool.check_connection),
}


def _graph(saver: BaseCheckpointSaver[Any], executed: Counter[tuple[str, str]], midst: asyncio.Event) -> Any:
    builder = StateGraph(State)
    before = START
    for name in (f"n{number}" for number in range(NODES)):
        builder.add_node(name, _node(name, executed, midst))
        builder.add_edge(before, name)
        before = name
    return builder.compile(checkpointer=saver)


def _node(name: str, executed: Counter[tuple[str, str]], midst: asyncio.Event) -> Any:
    async def node(_state: State, config: RunnableConfig) -> dict[str, Any]:
        executed[config["configurable"]["thread_id"], name] += 1
        if executed.total() >= 2 * RUNS:
            midst.set()
        await asyncio.sleep(WORK_S)
        return {"done": [name]}

    return node


async def _see_through(graph: Any, thread: str, errors: Counter[str]) -> int:
    """Run a graph to its end; how often it had to be resumed."""
    config = {"configurable": {"thread_id": thread}}
    given: Any = {"done": []}
    resumes, until = 0, time.monotonic() + RESUME_S
    while True:
        try:
            await graph.ainvoke(given, config)
        except EmptyInputError:
            given = {"done": []}  # nothing of it had been kept: it begins anew
        except Exception as error:
            errors[type(error).__name__] += 1
            if time.monotonic() > until:
                raise
            resumes += 1
            await asyncio.sleep(0.5)
            given = None
        else:
            return resumes


async def watch(cluster: LocalCluster, dsn: str, name: str) -> Seen:
    """Run the graphs of one saver, kill the primary's node in their midst, and count."""
    executed: Counter[tuple[str, str]] = Counter()
    errors: Counter[str] = Counter()
    midst = asyncio.Event()
    threads = [str(uuid4()) for _ in range(RUNS)]
    async with SAVERS[name](dsn) as saver:
        graph = _graph(saver, executed, midst)
        began = time.monotonic()
        runs = [asyncio.create_task(_see_through(graph, thread, errors)) for thread in threads]
        await asyncio.wait_for(midst.wait(), RESUME_S)
        cluster.kill_node(await cluster.primary())
        resumes = await asyncio.gather(*runs)
        took_s = time.monotonic() - began
        states = [(await graph.aget_state({"configurable": {"thread_id": each}})).values["done"] for each in threads]
    return Seen(
        saver=name,
        raised=sum(each > 0 for each in resumes),
        resumes=sum(resumes),
        errors=dict(errors),
        run_again=executed.total() - RUNS * NODES,
        lost=sum(state != [f"n{n}" for n in range(NODES)] for state in states),
        took_s=took_s,
    )


def _sum(rounds: list[Seen]) -> Seen:
    errors: Counter[str] = Counter()
    for each in rounds:
        errors.update(each.errors)
    return Seen(
        saver=rounds[0].saver,
        raised=sum(each.raised for each in rounds),
        resumes=sum(each.resumes for each in rounds),
        errors=dict(errors),
        run_again=sum(each.run_again for each in rounds),
        lost=sum(each.lost for each in rounds),
        took_s=sum(each.took_s for each in rounds) / len(rounds),
    )


def table(results: list[Seen]) -> str:
    """The same for a page."""
    lines = [
        f"| saver | runs of {ROUNDS * RUNS} that raised | resumed by hand "
        f"| nodes of {ROUNDS * RUNS * NODES} run again | threads with a node missing or doubled | seconds a round |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.saver} | {each.raised} | {each.resumes} | {each.run_again} | {each.lost} | {each.took_s:.1f} |"
        for each in results
    ]
    return "\n".join(lines) + "\n"


async def _main(arguments: argparse.Namespace) -> None:
    results = []
    with tempfile.TemporaryDirectory(prefix="outlive-bench-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        cluster = LocalCluster(Path(scratch) / "cluster")
        try:
            for name in SAVERS:
                rounds = []
                for _ in range(ROUNDS):
                    dsn = await cluster.start(lambda line: print(line, file=sys.stderr))
                    await migrate(dsn)
                    rounds.append(await watch(cluster, dsn, name))
                    print(rounds[-1])
                results.append(_sum(rounds))
        finally:
            await cluster.stop()
    print(table(results))
    if arguments.docs:
        PAGE.write_text(MARKS.sub(lambda found: f"{found[1]}{table(results)}{found[2]}", PAGE.read_text()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help="write the table into the documentation")
    asyncio.run(_main(parser.parse_args()))

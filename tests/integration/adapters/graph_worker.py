"""A program that runs graphs: it says each thing that a node does to a ledger outside, and may be told to be killed.

python graph_worker.py DSN LEDGER FIRST COUNT [KILLED_AFTER]
"""

from __future__ import annotations

import asyncio
import operator
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph

import outlive
from outlive.adapters.langgraph import OutliveSaver

NODES = 10
WORK_S = 0.02
"""What a node takes, as a call of a model would, so that many are under way when something is killed."""


class State(TypedDict):
    """What the nodes did, in order."""

    run: str
    done: Annotated[list[str], operator.add]


def graph(saver: BaseCheckpointSaver[Any], did: Callable[[str, str], object]) -> Any:
    """Ten nodes one after the other; each tells `did` its run and its name."""
    builder = StateGraph(State)
    before = START
    for name in (f"n{number}" for number in range(NODES)):
        builder.add_node(name, _node(name, did))
        builder.add_edge(before, name)
        before = name
    return builder.compile(checkpointer=saver)


def _node(name: str, did: Callable[[str, str], object]) -> Any:
    async def node(state: State) -> dict[str, Any]:
        did(state["run"], name)
        await asyncio.sleep(WORK_S)
        return {"done": [name]}

    return node


async def run(running: Any, name: str) -> State:
    """Run a graph to its end: from its beginning, or from where its thread stands."""
    config: RunnableConfig = {"configurable": {"thread_id": name}}
    begun = (await running.aget_state(config)).values
    result: State = await running.ainvoke(None if begun else {"run": name, "done": []}, config, durability="sync")
    return result


async def main(dsn: str, ledger: Path, first: int, count: int, killed_after: int | None = None) -> None:
    """Run so many graphs at once, and see each one through, or be killed when so many things were said."""
    said = 0

    with ledger.open("a", buffering=1) as told:

        def did(name: str, node: str) -> None:
            nonlocal said
            told.write(f"{name} {node}\n")
            said += 1
            if said == killed_after:
                os.kill(os.getpid(), signal.SIGKILL)

        async with outlive.connect(dsn) as db:
            running = graph(OutliveSaver(db), did)
            await asyncio.gather(*(run(running, f"worker-{number}") for number in range(first, first + count)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])))

"""What a graph's users see when the node of the primary is killed, or the program that runs it: nothing."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path

import outlive
from integration.adapters import graph_worker
from integration.adapters.graph_worker import NODES
from integration.client.waiting import until
from integration.conftest import RunningCluster
from outlive.adapters.langgraph import OutliveSaver
from outlive.stores import migrate

RUNS = 24
ALL_NODES = [f"n{number}" for number in range(NODES)]


async def test_graphs_go_on_when_the_primary_dies(whole_cluster: RunningCluster) -> None:
    """No run raises, every node of every graph is run once, and what is kept is what the runs returned."""
    executed: Counter[tuple[str, str]] = Counter()
    async with outlive.connect(whole_cluster.dsn) as db:
        await migrate(db)
        timeline = (await db.wait_primary()).timeline
        running = graph_worker.graph(OutliveSaver(db), lambda name, node: executed.update([(name, node)]))
        async with asyncio.TaskGroup() as group:
            runs = {
                f"failover-{number}": group.create_task(graph_worker.run(running, f"failover-{number}"))
                for number in range(RUNS)
            }
            await until(lambda: executed.total() > RUNS * 2)
            whole_cluster.local.kill_node(await whole_cluster.local.primary())
            await until(lambda: any(node.timeline > timeline for node in db.topology.nodes), 120)
        assert set(executed.values()) == {1}
        assert len(executed) == RUNS * NODES
        fresh = graph_worker.graph(OutliveSaver(db), lambda *_: None)
        for name, task in runs.items():
            config = {"configurable": {"thread_id": name}}
            assert task.result()["done"] == ALL_NODES
            assert (await fresh.aget_state(config)).values["done"] == ALL_NODES
            history = [state async for state in fresh.aget_state_history(config)]
            assert [state.values["done"] for state in reversed(history[:-1])] == [
                ALL_NODES[:n] for n in range(NODES + 1)
            ]


async def test_a_graph_is_resumed_when_its_program_is_killed(whole_cluster: RunningCluster, tmp_path: Path) -> None:
    """The next program runs what was not finished: of each graph, at most the node that was under way is run twice."""
    ledger = tmp_path / "ledger"
    ledger.touch()
    async with outlive.connect(whole_cluster.dsn) as db:
        await migrate(db)
        # It kills itself: who has to be told first kills a worker that is done, where the machine is busy.
        worker = await _worker(whole_cluster.dsn, ledger, RUNS * 3)
        assert await asyncio.wait_for(worker.wait(), 120) == -signal.SIGKILL
        before = _told(ledger)
        assert len(before) == RUNS * 3
        again = await _worker(whole_cluster.dsn, ledger)
        assert await asyncio.wait_for(again.wait(), 120) == 0
        last = dict(before)  # of each graph the node that was begun last
        twice = {told for told, times in Counter(_told(ledger)).items() if times > 1}
        assert all(last[name] == node for name, node in twice)
        assert set(_told(ledger)) == {(f"worker-{number}", node) for number in range(RUNS) for node in ALL_NODES}
        fresh = graph_worker.graph(OutliveSaver(db), lambda *_: None)
        for number in range(RUNS):
            state = await fresh.aget_state({"configurable": {"thread_id": f"worker-{number}"}})
            assert state.values["done"] == ALL_NODES


async def _worker(dsn: str, ledger: Path, *killed_after: int) -> asyncio.subprocess.Process:
    arguments = (graph_worker.__file__, dsn, str(ledger), "0", str(RUNS), *map(str, killed_after))
    return await asyncio.create_subprocess_exec(sys.executable, *arguments)


def _told(ledger: Path) -> list[tuple[str, str]]:
    """What is in the ledger: of which graph which node was begun, in order."""
    return [(name, node) for name, node in (line.split() for line in ledger.read_text().splitlines())]

"""Tasks under load while the primary's node, or a worker, is killed or stopped: each ends once, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

import outlive
from integration.client.waiting import until
from integration.conftest import RunningCluster
from integration.task_process import STEPS, Line, read
from outlive.client import dsn as dsns
from outlive.model.topology import Address
from outlive.stores import AgentState, ClaimedTask, Task, TaskStatus, migrate
from outlive.testing import FaultProxy

TASKS = 240
ENQUEUERS = 8
LEASES_S = {"kill node": 60.0}
"""Longer than any failover takes, where a task that is tried twice must not be."""
LEASE_S = 3.0
"""Where workers die, and their tasks are taken over."""
PROGRAM = Path(__file__).with_name("task_process.py")


def anomalies(lines: Iterable[Line]) -> Iterator[str]:
    """What contradicts the promises: an end twice, an attempt after it, a step that was kept and is done again."""
    finished: set[str] = set()
    steps: Counter[str] = Counter()
    for line in sorted(lines):
        if line.key in finished:
            yield f"{line.key}: {line.what} after it was finished"
        if line.what == "finished":
            finished.add(line.key)
        elif line.number < steps[line.key] + (line.what == "kept"):
            yield f"{line.key}: {line.what} {line.number} after step {steps[line.key]} was kept"
        steps[line.key] = max(steps[line.key], line.number if line.what == "kept" else 0)


def without_a_begin_under_way(lines: list[Line], thawed_at_ns: int) -> list[Line]:
    """The ledger of a worker that was stopped until then, without the attempt that it was just about to begin.

    It may have been stopped between its last look at the lease and the handler's first line, which nothing can prevent.
    That is one attempt at most, as a worker begins one after the other; what it then says to be kept must not be.
    """
    late = [line for line in sorted(lines) if line.at_ns >= thawed_at_ns]
    return [line for line in lines if line not in late[:1] or line.what != "begins"]


@pytest.mark.parametrize(
    ("told", "sound"),
    [
        ("begins 0, kept 1, begins 1, kept 2, finished 1", True),
        ("begins 0, kept 1, begins 0", False),
        ("begins 0, kept 1, begins 1, kept 1", False),
        ("begins 0, finished 1, begins 0", False),
        ("begins 0, finished 1, finished 2", False),
    ],
)
def test_the_checker_sees_what_was_done_twice(told: str, sound: bool) -> None:
    """A repetition of what was kept is found, going on after it is not."""
    words = [each.split() for each in told.split(", ")]
    lines = [Line(place, what, "k", int(number)) for place, (what, number) in enumerate(words)]  # type: ignore[arg-type]
    assert (not list(anomalies(lines))) == sound


def test_one_begin_of_a_worker_that_was_stopped_is_passed_over() -> None:
    """Neither a second one, nor what was kept."""
    before, first, second = (Line(at, "begins", f"k{at}", 0) for at in (1, 5, 6))
    kept = Line(7, "kept", "k5", 1)
    assert without_a_begin_under_way([before, second, kept, first], 5) == [before, second, kept]
    assert without_a_begin_under_way([before, kept], 5) == [before, kept]


@contextmanager
def processes(dsn: str, queue: str, ledgers: list[Path], lease_s: float) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A worker process for each ledger; killed at the end."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for ledger in ledgers:
            ledger.touch()
            running.append(subprocess.Popen([sys.executable, PROGRAM, dsn, queue, ledger, str(lease_s)]))
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


async def enqueue(state: AgentState, queue: str, first: int) -> list[Task]:
    """Enqueue every so manieth task; all of them are acknowledged."""
    return [
        await state.tasks.enqueue(queue, number, key=f"task-{number}", priority=number % 3)
        for number in range(first, TASKS, ENQUEUERS)
    ]


async def finished(state: AgentState, queue: str) -> int:
    """How many tasks of the queue are finished."""
    return (await state.tasks.counts(queue))[TaskStatus.FINISHED]


@pytest.mark.parametrize("fault", ["kill node", "kill worker", "stop worker"])
async def test_tasks_end_once_whatever_is_killed(whole_cluster: RunningCluster, tmp_path: Path, fault: str) -> None:
    """Each acknowledged task ends once; nothing that a worker was told is kept is done again, no step is missing."""
    queue = f"killed-{uuid4()}"
    ledgers = [tmp_path / f"ledger-{number}" for number in range(3)]
    async with outlive.connect(whole_cluster.dsn) as db:
        await migrate(db)
        state, thawed_at_ns = AgentState(db), sys.maxsize
        with processes(whole_cluster.dsn, queue, ledgers, LEASES_S.get(fault, LEASE_S)) as running:
            enqueuing = asyncio.gather(*(enqueue(state, queue, first) for first in range(ENQUEUERS)))

            async def so_many(count: int) -> bool:
                return await finished(state, queue) >= count

            await until(lambda: so_many(TASKS // 10), 120)
            match fault:
                case "kill node":
                    whole_cluster.local.kill_node(await whole_cluster.local.primary())
                case "kill worker":
                    running[0].kill()
                case _:
                    running[0].send_signal(signal.SIGSTOP)
                    await until(lambda: so_many(TASKS), 180)
                    thawed_at_ns = time.monotonic_ns()
                    running[0].send_signal(signal.SIGCONT)
            acknowledged = {task.key: task.payload for tasks in await enqueuing for task in tasks}
            await until(lambda: so_many(TASKS), 180)
        kept = [task async for task in state.tasks.listed(queue, TaskStatus.FINISHED)]
        assert sum((await state.tasks.counts(queue)).values()) == TASKS
    first, *others = map(read, ledgers)
    lines = [*without_a_begin_under_way(first, thawed_at_ns), *(line for each in others for line in each)]
    assert {task.key: task.result for task in kept} == acknowledged
    assert {task.progress for task in kept} == {STEPS}
    assert list(anomalies(lines)) == []
    tried = Counter(task.attempts for task in kept)
    print(f"{fault}: {TASKS} tasks, by attempts: {dict(tried)}")  # noqa: T201
    if fault == "kill node":
        assert set(tried) == {1}


async def test_cut_commits_neither_lose_nor_double_a_task(cluster: RunningCluster) -> None:
    """Of the commits of enqueuers and workers two of five are cut: each task is tried once and ended once."""
    queue = f"cut-{uuid4()}"
    done: Counter[str] = Counter()

    async def handler(task: ClaimedTask) -> None:
        await task.save_progress("begun")
        done[task.key] += 1

    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(outlive.connect(cluster.dsn))
        await migrate(db)
        proxy = await stack.enter_async_context(FaultProxy((await db.wait_primary()).address.port, random=Random(5)))
        proxy.cut_commit("before", probability=0.2)
        proxy.cut_commit("after", probability=0.25)
        hosts = (Address("127.0.0.1", proxy.port),)
        cut = await stack.enter_async_context(outlive.connect(replace(dsns.resolve(cluster.dsn), hosts=hosts).render()))
        state, worker = AgentState(db), AgentState(cut).tasks.worker(queue)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run(handler))
            for number in range(60):
                await AgentState(cut).tasks.enqueue(queue, number, key=f"task-{number}")

            async def all_done() -> bool:
                return await finished(state, queue) == 60

            await until(all_done, 120)
            worker.stop()
        kept = [task async for task in state.tasks.listed(queue, TaskStatus.FINISHED)]
    assert {"before", "after"} <= set(proxy.cuts)
    assert done == Counter(f"task-{number}" for number in range(60))
    assert {task.attempts for task in kept} == {1}


async def test_a_worker_is_woken_on_the_new_primary(whole_cluster: RunningCluster) -> None:
    """A worker that never polls hears of what is enqueued after a failover."""
    queue = f"woken-{uuid4()}"
    async with outlive.connect(whole_cluster.dsn) as db:
        await migrate(db)
        state = AgentState(db)
        worker = state.tasks.worker(queue)
        worker.poll_s = 3600.0
        timeline = (await db.wait_primary()).timeline

        async def woken() -> bool:
            # Each time it rings again: a ring has half a second, and is given up on a busy machine.
            return (await state.tasks.enqueue(queue, "woken", key="woken")).ended_at is not None

        async def listens() -> bool:
            # One that has listened for long is asked whether it is there still: that is its last query, then.
            asked = "select 1 from pg_stat_activity where datname = current_database() and query ~ $1"
            return bool(await db.fetchval(asked, "^(LISTEN|SELECT 1$)", read="strong"))

        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run(lambda task: task.payload))
            await until(listens)
            whole_cluster.local.kill_node(await whole_cluster.local.primary())
            await until(lambda: any(node.timeline > timeline for node in db.topology.nodes), 120)
            await until(listens)
            await until(woken)
            worker.stop()

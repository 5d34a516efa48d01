"""A worker process that the tests kill: it does each task in steps, and writes down what was acknowledged to it.

    python task_process.py DSN QUEUE LEDGER LEASE_S

Each line of the ledger is `nanoseconds what key number`; the clock is one for all processes of the machine. A line of
what was kept or finished is written once that is acknowledged, and has the moment at which it was asked for: a process
that is stopped hears of its own writes late.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import outlive
from outlive.stores import AgentState, ClaimedTask

STEPS = 3

What = Literal["begins", "kept", "finished"]


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """What happened to a task, and when: an attempt begins, a step is kept, the task is finished."""

    at_ns: int
    what: What
    key: str
    number: int


def read(ledger: Path) -> list[Line]:
    """The lines of a ledger; the last one may be cut short."""
    whole = [line.split() for line in ledger.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [Line(int(at), what, key, int(number)) for at, what, key, number in whole]  # type: ignore[arg-type]


async def work(dsn: str, queue: str, ledger: Path, lease_s: float) -> None:
    """Serve the queue until killed."""
    with ledger.open("a", buffering=1) as lines:

        def note(at_ns: int, what: What, task: ClaimedTask, number: int) -> None:
            lines.write(f"{at_ns} {what} {task.key} {number}\n")

        async def handler(task: ClaimedTask) -> None:
            note(time.monotonic_ns(), "begins", task, task.progress or 0)
            for step in range((task.progress or 0) + 1, STEPS + 1):
                asked_at = time.monotonic_ns()
                await task.save_progress(step)
                note(asked_at, "kept", task, step)
            asked_at = time.monotonic_ns()
            await task.finish(task.payload)
            note(asked_at, "finished", task, task.task.attempts)

        async with outlive.connect(dsn) as db:
            await AgentState(db).tasks.worker(queue, concurrency=4, lease_s=lease_s).run(handler)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])))

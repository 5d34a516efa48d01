"""Where the processor's time goes while one operation is done again and again: this process, and each kind of server's.

Each contestant works for half a second in turn. Of the servers' time every process counts whose command line, or whose
parent's, names the cluster's directory.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

SLICE_S = 0.5
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
KINDS = ("client", "backends", "walsender", "walreceiver", "startup", "other")

Operation = Callable[[], Awaitable[object]]


async def shares(
    contestants: Mapping[str, Operation], root: Path, *, tasks: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Of each contestant: microseconds an operation of each kind of process, all of them in `sum`."""
    spent: dict[str, Counter[str]] = {name: Counter() for name in contestants}
    done: Counter[str] = Counter()
    for turn in range(rounds + 1):
        for name, operation in contestants.items():
            before = _now(root)
            count = await _slice(operation, tasks)
            if turn:
                done[name] += count
                spent[name].update({kind: used - before[kind] for kind, used in _now(root).items()})
    return {
        name: {kind: used[kind] / done[name] for kind in KINDS} | {"sum": sum(used.values()) / done[name]}
        for name, used in spent.items()
    }


async def _slice(operation: Operation, tasks: int) -> int:
    until = time.perf_counter() + SLICE_S

    async def work() -> int:
        done = 0
        while time.perf_counter() < until:
            await operation()
            done += 1
        return done

    return sum(await asyncio.gather(*(work() for _ in range(tasks))))


def _now(root: Path) -> Counter[str]:
    """Microseconds that each kind of process has used so far."""
    found = Counter({"client": int(time.process_time() * 1e6)})
    lines = {int(entry.name): _read(entry / "cmdline") for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    for pid, line in lines.items():
        fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        if fields and (str(root) in line or str(root) in lines.get(int(fields[1]), "")):
            found[_kind(line)] += int((int(fields[11]) + int(fields[12])) * TICK_US)
    return found


def _kind(line: str) -> str:
    words = line.split()
    if not line.startswith("postgres:"):
        return "other"
    known = next((kind for kind in KINDS if kind in words), "other")
    return "backends" if known == "other" and "agents" in words else known


def _read(path: Path) -> str:
    try:
        return path.read_text().replace("\0", " ")
    except OSError:
        return ""  # it has ended

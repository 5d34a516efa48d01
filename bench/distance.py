"""Round trips an operation, counted on the wire of a network that is far away."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from outlive.testing import FaultProxy
from peers import REFERENCE, ours, raw
from slices import Operation

WARM_UP, CALLS = 30, 60
OURS = "outlive"
# What the reference has no name for, and what it does instead.
INSTEAD = {"execute": "insert", "batch": "transaction", "append": "insert"}


@dataclass(frozen=True, slots=True)
class Trips:
    """Of one operation, alone on its connection: round trips and milliseconds, the median of many."""

    count: float
    ms: float


Distances = dict[str, dict[str, Trips]]


@asynccontextmanager
async def far_away(dsn: str, delay_s: float) -> AsyncIterator[tuple[str, Sequence[FaultProxy]]]:
    """The same nodes behind proxies that make each round trip longer; the DSN that leads there."""
    parts = urlsplit(dsn)
    login, _, hosts = parts.netloc.rpartition("@")
    async with AsyncExitStack() as stack:
        proxies = []
        for host in hosts.split(","):
            name, _, port = host.rpartition(":")
            proxies.append(await stack.enter_async_context(FaultProxy(int(port), name)))
        for proxy in proxies:
            proxy.delay(delay_s)
        there = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
        yield parts._replace(netloc=f"{login}@{there}").geturl(), proxies


async def measure(dsn: str, delay_s: float) -> Distances:
    """Every operation of ours, and what the reference does for it, one after the other."""
    async with far_away(dsn, delay_s) as (there, proxies), raw(there) as theirs, ours(there) as operations:
        return {
            name: {
                REFERENCE: await _trips(theirs[INSTEAD.get(name, name)], proxies),
                OURS: await _trips(operation, proxies),
            }
            for name, operation in operations.items()
        }


async def _trips(operation: Operation, proxies: Sequence[FaultProxy]) -> Trips:
    for _ in range(WARM_UP):
        await operation()
    counts, times = [], []
    for _ in range(CALLS):
        before, began = sum(proxy.round_trips for proxy in proxies), time.perf_counter()
        await operation()
        times.append(time.perf_counter() - began)
        # The watch over the nodes asks now and then, in between: the median has none of it.
        counts.append(sum(proxy.round_trips for proxy in proxies) - before)
    return Trips(statistics.median(counts), statistics.median(times) * 1000)


def table(distances: Distances) -> str:
    """A line an operation, for a terminal and a page alike."""
    names = (REFERENCE, OURS)
    heads = [f"{name}, {unit}" for unit in ("round trips", "ms") for name in names]
    lines = [f"| operation | {' | '.join(heads)} |", f"{'|---' * (len(heads) + 1)}|"]
    for operation, found in distances.items():
        counts = [f"{found[name].count:g}" for name in names]
        times = [f"{found[name].ms:.1f}" for name in names]
        lines.append(f"| {operation} | {' | '.join([*counts, *times])} |")
    return "\n".join(lines) + "\n"

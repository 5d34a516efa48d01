"""Compares contestants in one run: each works for a tenth of a second in turn, again and again.

Machines change their speed from second to second; slices that lie side by side don't. A contestant's figure is the
median over all rounds of its rate divided by the reference's in the same round; the spread is the middle half of them.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

Operation = Callable[[], Awaitable[object]]
SLICE_S = 0.1


@dataclass(frozen=True, slots=True)
class Figure:
    """One contestant: operations a second (median), and its ratio to the reference with the quartiles around it."""

    per_second: float
    ratio: float
    low: float
    high: float


async def compare(
    contestants: Mapping[str, Operation], reference: str, *, tasks: int, rounds: int
) -> dict[str, Figure]:
    """Measure every contestant with so many tasks at once; one round is thrown away to warm up."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, operation in contestants.items():
            rate = await _slice(operation, tasks)
            if turn:
                rates[name].append(rate)
    return {name: _figure(rates[name], rates[reference]) for name in contestants}


async def _slice(operation: Operation, tasks: int) -> float:
    started = time.perf_counter()
    until = started + SLICE_S

    async def work() -> int:
        done = 0
        while time.perf_counter() < until:
            await operation()
            done += 1
        return done

    done = sum(await asyncio.gather(*(work() for _ in range(tasks))))
    return done / (time.perf_counter() - started)


def _figure(rates: list[float], reference: list[float]) -> Figure:
    ratios = [rate / base for rate, base in zip(rates, reference, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Figure(statistics.median(rates), middle, low, high)

"""When the demo hurts what: the primary's node in the middle of the work, a worker later.

The share of acknowledged turns tells the time, not a clock: a slow machine is hurt at the same point of the work.
The worker is killed only once the fault is in, and after it came at least `WORKER_AFTER` of the turns, so that the
two are told apart. When the work has ended nothing is hurt any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

FAULT_AFTER = 1 / 3
WORKER_AFTER = 2 / 3


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the work is: turns acknowledged of all turns, and what has been done to it."""

    acknowledged: int
    turns: int
    fault_is_due: bool
    worker_kill_is_due: bool


class Act(Enum):
    """What is done next."""

    INJECT_FAULT = "inject the fault"
    KILL_WORKER = "kill a worker"


def next_act(standing: Standing) -> Act | None:
    """What to do now, if anything; what is due no longer is due when it was done."""
    if standing.acknowledged >= standing.turns:
        return None
    share = standing.acknowledged / standing.turns
    if standing.fault_is_due:
        return Act.INJECT_FAULT if share >= FAULT_AFTER else None
    if standing.worker_kill_is_due and share >= WORKER_AFTER:
        return Act.KILL_WORKER
    return None

"""What can be told of a client and of tasks at work. Durations are in seconds; none of them holds SQL, an argument, a
payload or a password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from outlive.model.lsn import Timeline
from outlive.model.outcome import Outcome
from outlive.model.topology import Address, Topology


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """An attempt at a call began; `attempt` counts from 1."""

    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    """An attempt at a call ended, in the task that made it.

    `outcome` is of this attempt alone. After a failure `phase` is how far it had come, as `connect`, `begin`, `body`,
    `commit`, `statement` or `read`, and `reason` a clause that says why; `retry_after_s` is None if no other one
    follows. An error of the caller's own has no phase; `failed` tells it from a success.
    """

    attempt: int
    duration_s: float
    outcome: Outcome
    failed: bool = False
    node: Address | None = None
    phase: str | None = None
    kind: str | None = None
    reason: str | None = None
    sqlstate: str | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class TopologyChanged:
    """A node changed its role or timeline, fell silent or came back."""

    topology: Topology


@dataclass(frozen=True, slots=True)
class PrimaryFound:
    """A node takes writes from now on, as far as is known."""

    node: Address
    timeline: Timeline


@dataclass(frozen=True, slots=True)
class PrimaryLost:
    """The node does not take writes any more; `reason` tells why no other does, or which one does."""

    node: Address
    reason: str


@dataclass(frozen=True, slots=True)
class DurabilityDegraded:
    """No synchronous standby confirms the primary's commits; critical writes are refused, or flagged if allowed."""

    node: Address
    reason: str


@dataclass(frozen=True, slots=True)
class DurabilityRestored:
    """Synchronous standbys confirm the primary's commits again."""

    node: Address


@dataclass(frozen=True, slots=True)
class PoolWaited:
    """A caller waited for a connection to a node, as all were in use; `served` tells whether it got one."""

    node: Address
    waited_s: float
    served: bool


TaskEnd = Literal["finished", "failed", "dead", "released"]
"""How an attempt at a task ended: `failed` is tried again, `dead` was the last one, `released` does not count."""


@dataclass(frozen=True, slots=True)
class TasksEnqueued:
    """So many tasks were given to a queue; those that were there under their keys are counted again."""

    queue: str
    tasks: int


@dataclass(frozen=True, slots=True)
class TaskClaimed:
    """A worker has a task; `waited_s` is since it was enqueued, a delay included, None if it was tried before."""

    queue: str
    attempt: int
    waited_s: float | None


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """An attempt at a task ended, `duration_s` after the task was claimed."""

    queue: str
    end: TaskEnd
    attempt: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class TaskLost:
    """A worker learnt that its task is another's now, or was cancelled: nothing more of it is applied."""

    queue: str
    attempt: int


@dataclass(frozen=True, slots=True)
class QueueMeasured:
    """What is in a queue, as `tasks.depths()` found it; `waits_s` is for how long the first one due has waited."""

    queue: str
    due: int
    delayed: int
    running: int
    dead: int
    waits_s: float


Event = (
    AttemptStarted
    | AttemptFinished
    | TopologyChanged
    | PrimaryFound
    | PrimaryLost
    | DurabilityDegraded
    | DurabilityRestored
    | PoolWaited
    | TasksEnqueued
    | TaskClaimed
    | TaskEnded
    | TaskLost
    | QueueMeasured
)

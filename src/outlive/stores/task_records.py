"""Tasks as they are given to a queue, and as they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from outlive import system
from outlive.errors import KeyReusedError, UnstorableError
from outlive.model.identifiers import uuid7
from outlive.stores.encoding import checked_name, decode, encode

MAX_ATTEMPTS = 5
"""How often a task is tried unless it says otherwise."""

HIGHEST_PRIORITY = 100
FIRST_YEAR, LAST_YEAR = 1970, 9000
"""Between which a task may be due: beyond them the database says infinity, which no JSON has."""
MAX_DELAY_S = 10 * 365 * 86_400.0


class TaskStatus(Enum):
    """How far a task came. The last three are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    DEAD = "dead"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be done. `payload` is any value of JSON, `key` makes it one task however often it is given.

    Without a key it has one of its own. It is due at `run_at` (aware; now if not given) and `delay_s` seconds. The
    highest `priority`, -100 to 100, is served first.
    """

    queue: str
    payload: Any
    key: str | None = None
    priority: int = 0
    run_at: datetime | None = None
    delay_s: float = 0.0
    max_attempts: int = MAX_ATTEMPTS


@dataclass(frozen=True, slots=True)
class Task:
    """A task that is kept, as it was at one moment.

    `due_at` is when it may be claimed: while it runs, when its lease ends; None once it has ended. `attempts` counts
    those that were begun. `progress` is what its workers kept last; `result` means something when it is finished,
    `error` is the last attempt's. `conversation` is the id of the one that it belongs to. Times are aware, by the
    database's clock.
    """

    id: int
    queue: str
    key: str
    status: TaskStatus
    priority: int
    payload: Any
    progress: Any
    result: Any
    error: str | None
    attempts: int
    max_attempts: int
    worker: str | None
    lease_token: int
    due_at: datetime | None
    created_at: datetime
    ended_at: datetime | None
    conversation: str | None


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What is in a queue. `due` are those that a worker could claim now, the first of them for `waits_s` seconds."""

    queue: str
    due: int
    delayed: int
    running: int
    dead: int
    waits_s: float


def read_task(row: Mapping[str, Any]) -> Task:
    """A task from the columns of `outlive.tasks`."""
    return Task(
        id=row["id"],
        queue=row["queue"],
        key=row["key"],
        status=TaskStatus(row["status"]),
        priority=row["priority"],
        payload=decode(row["payload"]),
        progress=_decoded(row["progress"]),
        result=_decoded(row["result"]),
        error=row["error"],
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        worker=row["lease_worker"],
        lease_token=row["lease_token"],
        due_at=row["due_at"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        conversation=row["conversation_id"],
    )


def task_columns(tasks: Sequence[NewTask], max_value_bytes: int) -> tuple[list[Any], ...]:
    """The tasks, found fit to be stored, as the first parameters of `outlive.enqueue_tasks`.

    Raises:
        UnstorableError: something of a task can't be kept as it is.
        KeyReusedError: two of them share queue and key.
    """
    rows = [_checked(task, max_value_bytes) for task in tasks]
    seen: set[tuple[str, str]] = set()
    for queue, key, *_ in rows:
        if (queue, key) in seen:
            raise KeyReusedError(f"the task {key!r} is given twice at once")
        seen.add((queue, key))
    return tuple([row[place] for row in rows] for place in range(7))


def checked_queue(queue: object) -> str:
    """A queue's name that the database can hold."""
    return checked_name(queue, "a queue's name")


def _checked(task: NewTask, max_value_bytes: int) -> tuple[str, str, str, int, datetime | None, float, int]:
    key = _made_key() if task.key is None else checked_name(task.key, "a task's key")
    what = f"of the task {key!r}"
    return (
        checked_queue(task.queue),
        key,
        encode(task.payload, f"the payload {what}", max_value_bytes),
        _whole(task.priority, f"the priority {what}", -HIGHEST_PRIORITY, HIGHEST_PRIORITY),
        _moment(task.run_at, f"run_at {what}"),
        _seconds(task.delay_s, f"delay_s {what}"),
        _whole(task.max_attempts, f"max_attempts {what}", 1, 2**31 - 1),
    )


def _made_key() -> str:
    return str(uuid7(int(system.now_utc().timestamp() * 1000), system.chance.getrandbits(74)))


def _moment(value: object, what: str) -> datetime | None:
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise UnstorableError(f"{what} must be an aware datetime, not {value!r}")
    if value is not None and not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise UnstorableError(f"{what} must lie in the years {FIRST_YEAR} to {LAST_YEAR}, not in {value.year}")
    return value


def _whole(value: object, what: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UnstorableError(f"{what} must be a whole number from {least} to {most}, not {value!r}")
    return value


def _seconds(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_DELAY_S:
        raise UnstorableError(f"{what} must be a number of seconds from 0, not {value!r}")
    return float(value)


def _decoded(text: str | None) -> Any:
    return None if text is None else decode(text)

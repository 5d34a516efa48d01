"""What is in the queues, as it can be asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from outlive.errors import ConfigurationError, NotFoundError
from outlive.stores.queries import queries
from outlive.stores.statements import Statements
from outlive.stores.task_records import QueueDepth, Task, TaskStatus, checked_queue, read_task
from outlive.telemetry.events import QueueMeasured
from outlive.telemetry.hooks import tell

PAGE = 200
"""How many tasks one round trip of a listing brings."""


class TaskReads:
    """The part of `Tasks` that changes nothing."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._max_value_bytes = max_value_bytes

    async def next_due_s(self, queues: str | Iterable[str]) -> float | None:
        """In how many seconds the next task of these queues is due, 0 if one is; None if none is to come."""
        row = await self._statements.read(queries("tasks")["next_due"], checked_queues(queues))
        return None if row is None else row["due_s"]

    async def find(self, queue: str, key: str) -> Task | None:
        """The task of this key, or None; shows every acknowledged write."""
        row = await self._statements.read(queries("tasks")["find"], queue, key)
        return None if row is None else read_task(row)

    async def get(self, task_id: int) -> Task:
        """A task by its id; shows every acknowledged write.

        Raises:
            NotFoundError: there is no such task.
        """
        row = await self._statements.read(queries("tasks")["get"], task_id)
        if row is None:
            raise NotFoundError(f"there is no task {task_id}")
        return read_task(row)

    async def page(
        self,
        *,
        queue: str | None = None,
        status: TaskStatus | None = None,
        conversation: str | None = None,
        after: int = 0,
        limit: int = PAGE,
    ) -> tuple[Task, ...]:
        """The first `limit` tasks after an id, in the order in which they were enqueued; of whatever is named."""
        wanted = (queue, None if status is None else status.value, conversation)
        rows = await self._statements.read_all(queries("tasks")["filtered"], *wanted, after, limit)
        return tuple(read_task(row) for row in rows)

    async def depths(self, queue: str | None = None) -> tuple[QueueDepth, ...]:
        """What waits, runs and is dead in the queue, or in each that has any; told to `telemetry` too."""
        rows = await self._statements.read_all(queries("tasks")["depths"], queue)
        for row in rows:
            tell(self._statements.hooks, QueueMeasured(**row))
        return tuple(QueueDepth(**row) for row in rows)

    async def counts(self, queue: str) -> dict[TaskStatus, int]:
        """How many tasks of the queue have each status."""
        rows = await self._statements.read_all(queries("tasks")["counts"], queue)
        return dict.fromkeys(TaskStatus, 0) | {TaskStatus(row["status"]): row["tasks"] for row in rows}

    async def listed(self, queue: str, status: TaskStatus, *, page: int = PAGE) -> AsyncIterator[Task]:
        """The tasks of the queue that have this status, in the order in which they were enqueued.

        A round trip brings `page` of them.
        """
        sql, after = queries("tasks")["page"], 0
        while True:
            rows = await self._statements.read_all(sql, queue, status.value, after, page)
            for row in rows:
                yield read_task(row)
            if len(rows) < page:
                return
            after = rows[-1]["id"]


def checked_queues(queues: str | Iterable[str]) -> list[str]:
    """The names of queues, each once."""
    names = [queues] if isinstance(queues, str) else list(queues)
    if not names:
        raise ConfigurationError("there must be at least one queue")
    return sorted({checked_queue(name) for name in names})

"""A queue of tasks: what was enqueued is done, by whichever worker lives, and ends once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from outlive import system
from outlive.client.cluster import Cluster
from outlive.client.transaction import Transaction
from outlive.errors import ConfigurationError
from outlive.stores.claimed_task import ClaimedTask
from outlive.stores.conversations import checked_lease
from outlive.stores.encoding import checked_name
from outlive.stores.failures import typed_refusals
from outlive.stores.listening import ring
from outlive.stores.plan.attempts import DEFAULT_BACKOFF, Backoff
from outlive.stores.queries import queries
from outlive.stores.shared import new_attempt
from outlive.stores.statements import Statements
from outlive.stores.task_records import (
    MAX_ATTEMPTS,
    NewTask,
    Task,
    TaskStatus,
    checked_queue,
    read_task,
    task_columns,
)
from outlive.stores.worker import CONCURRENCY, Worker

DEFAULT_LEASE_S = 30.0
MAX_CLAIM = 1000
"""The most tasks that one claim takes."""
PAGE = 200
"""How many tasks one round trip of a listing brings."""
EXPIRY_BATCH = 500
"""How many tasks one transaction of `expire` deletes."""

Ended = tuple[TaskStatus, ...]


class Tasks:
    """The tasks of one database. `state.tasks` is one of these."""

    def __init__(self, statements: Statements, max_value_bytes: int) -> None:
        self._statements = statements
        self._max_value_bytes = max_value_bytes

    async def enqueue(
        self,
        queue: str,
        payload: Any,
        *,
        key: str | None = None,
        priority: int = 0,
        delay_s: float = 0.0,
        run_at: datetime | None = None,
        max_attempts: int = MAX_ATTEMPTS,
        conversation: str | None = None,
    ) -> Task:
        """Add a task; one that is there under this key with the same payload is returned as it is.

        The highest `priority`, -100 to 100, is served first. It is due at `run_at` (aware; now if not given) and
        `delay_s` seconds. A task that belongs to a conversation is erased with it. A key is known for as long as its
        task is kept.

        Raises:
            KeyReusedError: the key is there with another payload.
            NotFoundError: there is no such conversation.
            UnstorableError: something of it can't be kept as it is.
        """
        task = NewTask(queue, payload, key, priority, run_at, delay_s, max_attempts)
        (kept,) = await self.enqueue_all([task], conversation=conversation)
        return kept

    async def enqueue_all(self, tasks: Sequence[NewTask], *, conversation: str | None = None) -> tuple[Task, ...]:
        """Add several tasks, all or none; otherwise like `enqueue`."""
        if not tasks:
            return ()
        columns = task_columns(tasks, self._max_value_bytes)
        rows = await self._statements.write_all(queries("tasks")["enqueue"], *columns, conversation)
        await ring(self.db, columns[0])
        return tuple(read_task(row) for row in rows)

    async def enqueue_in(
        self, tx: Transaction, tasks: Sequence[NewTask], *, conversation: str | None = None
    ) -> tuple[Task, ...]:
        """Add tasks in a transaction of yours: they are there if it commits, and nobody sees them before.

        Give them keys, unless the transaction has one: a transaction that is tried again adds them again.
        """
        if not tasks:
            return ()
        columns = task_columns(tasks, self._max_value_bytes)
        with typed_refusals():
            rows = await tx.fetch(queries("tasks")["enqueue"], *columns, conversation)
        tx.after_commit(lambda: ring(self.db, columns[0]))
        return tuple(read_task(row) for row in rows)

    async def claim(
        self,
        queues: str | Iterable[str],
        *,
        worker: str,
        lease_s: float = DEFAULT_LEASE_S,
        limit: int = 1,
        backoff: Backoff = DEFAULT_BACKOFF,
    ) -> tuple[ClaimedTask, ...]:
        """Take up to `limit` tasks that are due: the highest priority first, then what has been due for longest.

        A lease lasts `lease_s` seconds by the database's clock. One that ran out makes its task due again, or dead if
        that was its last attempt. `backoff` is the pause after an attempt that fails.
        """
        if not 0 < limit <= MAX_CLAIM:
            raise ConfigurationError(f"limit must lie between 1 and {MAX_CLAIM}, not {limit}")
        arguments = (checked_queues(queues), checked_name(worker, "a worker's name"), new_attempt())
        sql, asked_at = queries("tasks")["claim"], system.monotonic()
        rows = await self._statements.write_all(sql, *arguments, checked_lease(lease_s), limit)
        return tuple(
            ClaimedTask(read_task(row), self._statements, lease_s, backoff, self._max_value_bytes, asked_at)
            for row in rows
        )

    def worker(
        self,
        queues: str | Iterable[str],
        *,
        name: str | None = None,
        concurrency: int = CONCURRENCY,
        lease_s: float = DEFAULT_LEASE_S,
        backoff: Backoff = DEFAULT_BACKOFF,
    ) -> Worker:
        """A loop that claims tasks of these queues and has them done, up to `concurrency` at once: `worker.run`.

        Raises:
            ConfigurationError: an option makes no sense.
        """
        if not 0 < concurrency <= MAX_CLAIM:
            raise ConfigurationError(f"concurrency must lie between 1 and {MAX_CLAIM}, not {concurrency}")
        named = checked_name(name or f"worker-{new_attempt()}", "a worker's name")
        return Worker(self, tuple(checked_queues(queues)), named, concurrency, checked_lease(lease_s), backoff)

    async def renew(self, claimed: Iterable[ClaimedTask], lease_s: float) -> frozenset[int]:
        """Renew the leases of several tasks at once; the ids of those that are held still."""
        held = [each.task for each in claimed]
        ids, tokens = [task.id for task in held], [task.lease_token for task in held]
        row = await self._statements.write(queries("tasks")["renew"], ids, tokens, lease_s)
        return frozenset(row["held"])

    async def next_due_s(self, queues: str | Iterable[str]) -> float | None:
        """In how many seconds the next task of these queues is due, 0 if one is; None if none is to come."""
        row = await self._statements.read(queries("tasks")["next_due"], checked_queues(queues))
        return None if row is None else row["due_s"]

    async def find(self, queue: str, key: str) -> Task | None:
        """The task of this key, or None; shows every acknowledged write."""
        row = await self._statements.read(queries("tasks")["find"], queue, key)
        return None if row is None else read_task(row)

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

    async def cancel(self, task_id: int) -> TaskStatus:
        """End a task that is not over, and fence off whoever runs it; returns its status, the end it had if it had one.

        Raises:
            NotFoundError: there is no such task.
        """
        return TaskStatus((await self._statements.write(queries("tasks")["cancel"], task_id))["status"])

    async def requeue(self, task: Task) -> None:
        """Queue a dead or cancelled task again, with all of its attempts before it and the progress it had made.

        Raises:
            NotFoundError: there is no such task.
            VersionConflictError: it is neither dead nor cancelled.
        """
        await self._statements.write(queries("tasks")["requeue"], task.id, new_attempt())
        await ring(self.db, [task.queue])

    async def expire(
        self,
        older_than: timedelta,
        *,
        statuses: Ended = (TaskStatus.FINISHED, TaskStatus.CANCELLED),
        batch: int = EXPIRY_BATCH,
    ) -> int:
        """Delete tasks that ended so long ago, `batch` in each transaction; returns how many.

        Their keys are forgotten with them. Dead tasks are kept unless `statuses` names them.
        """
        sql, total = queries("tasks")["expire"], 0
        for status in statuses:
            deleted = batch
            while deleted == batch:
                row = await self._statements.write(sql, status.value, older_than.total_seconds(), batch)
                deleted = row["deleted"]
                total += deleted
        return total

    @property
    def db(self) -> Cluster:
        """The client under it."""
        return self._statements.db


def checked_queues(queues: str | Iterable[str]) -> list[str]:
    """The names of queues, each once."""
    names = [queues] if isinstance(queues, str) else list(queues)
    if not names:
        raise ConfigurationError("there must be at least one queue")
    return sorted({checked_queue(name) for name in names})

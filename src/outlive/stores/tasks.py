"""A queue of tasks: what was enqueued is done, by whichever worker lives, and ends once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from outlive import system
from outlive.client.cluster import Cluster
from outlive.client.transaction import Transaction
from outlive.errors import ConfigurationError
from outlive.stores.ages import checked_age
from outlive.stores.claimed_task import ClaimedTask
from outlive.stores.conversations import checked_lease
from outlive.stores.encoding import checked_name
from outlive.stores.failures import typed_refusals
from outlive.stores.listening import ring
from outlive.stores.plan.attempts import DEFAULT_BACKOFF, Backoff
from outlive.stores.queries import queries
from outlive.stores.shared import new_attempt
from outlive.stores.task_reads import TaskReads, checked_queues
from outlive.stores.task_records import (
    MAX_ATTEMPTS,
    NewTask,
    Task,
    TaskStatus,
    read_task,
    task_columns,
)
from outlive.stores.worker import CONCURRENCY, Worker
from outlive.telemetry.events import TaskClaimed, TasksEnqueued
from outlive.telemetry.hooks import tell

DEFAULT_LEASE_S = 30.0
MAX_CLAIM = 1000
"""The most tasks that one claim takes."""
EXPIRY_BATCH = 500
"""How many tasks one transaction of `expire` deletes."""

Ended = tuple[TaskStatus, ...]


class Tasks(TaskReads):
    """The tasks of one database. `state.tasks` is one of these."""

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
        self._tell_enqueued(columns[0])
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
        tx.after_commit(lambda: self._tell_enqueued(columns[0]))
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
        for row in rows if self._statements.hooks else ():
            first = (row["claimed_at"] - row["created_at"]).total_seconds() if row["attempts"] == 1 else None
            tell(self._statements.hooks, TaskClaimed(row["queue"], row["attempts"], first))
        given = (self._statements, lease_s, backoff, self._max_value_bytes, asked_at)
        return tuple(ClaimedTask(read_task(row), *given) for row in rows)

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
        age_s = checked_age("older_than", older_than).total_seconds()
        for status in statuses:
            deleted = batch
            while deleted == batch:
                row = await self._statements.write(sql, status.value, age_s, batch)
                deleted = row["deleted"]
                total += deleted
        return total

    def _tell_enqueued(self, queues: Sequence[str]) -> None:
        for queue, tasks in Counter(queues).items() if self._statements.hooks else ():
            tell(self._statements.hooks, TasksEnqueued(queue, tasks))

    @property
    def db(self) -> Cluster:
        """The client under it."""
        return self._statements.db

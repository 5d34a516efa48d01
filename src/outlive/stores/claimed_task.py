"""One task in the hands of one worker."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from outlive import system
from outlive.client.transaction import Transaction
from outlive.errors import LeaseLostError
from outlive.stores.encoding import describe, encode
from outlive.stores.failures import typed_refusals
from outlive.stores.plan.attempts import Backoff, Bury, RetryAfter, after_failure
from outlive.stores.queries import queries
from outlive.stores.statements import Statements
from outlive.stores.task_records import Task
from outlive.telemetry.events import TaskEnd, TaskEnded, TaskLost
from outlive.telemetry.hooks import tell

T = TypeVar("T")


class ClaimedTask:
    """A task whose lease this worker holds.

    Every write is safe to repeat, and refused with `LeaseLostError`, applying nothing, once another worker has
    claimed the task, or it was cancelled.
    """

    def __init__(
        self,
        task: Task,
        statements: Statements,
        lease_s: float,
        backoff: Backoff,
        max_bytes: int,
        asked_at: float,
    ) -> None:
        self.task = task
        self.lost = False
        """Whether it is known that the lease is another's, or the task cancelled."""
        self.ending = False
        """Whether its end was asked for here: that the lease is gone may be this worker's own doing."""
        self.ended = False
        """Whether it was finished, failed or released here."""
        self._statements = statements
        self._lease_s = lease_s
        self._backoff = backoff
        self._max_bytes = max_bytes
        self._progress = task.progress
        self._asked_at = self._claimed_at = asked_at

    @property
    def key(self) -> str:
        """The task's idempotency key: the same in each attempt, for a receiver to tell a repetition by."""
        return self.task.key

    @property
    def payload(self) -> Any:
        """What is to be done."""
        return self.task.payload

    @property
    def progress(self) -> Any:
        """What was kept last by this worker or an earlier one; None if nothing was."""
        return self._progress

    @property
    def may_have_lapsed(self) -> bool:
        """Whether the lease may have run out since it was asked for: this process was paused, or the answer late."""
        return system.monotonic() - self._asked_at >= self._lease_s

    async def save_progress(self, state: Any) -> datetime:
        """Keep how far this came, for whoever goes on, and renew the lease; returns until when it lasts.

        Raises:
            LeaseLostError: it is another worker's now, or cancelled.
            UnstorableError: the state can't be kept as it is.
        """
        text = encode(state, f"the progress of the task {self.key!r}", self._max_bytes)
        until = await self._renew(text)
        self._progress = state
        return until

    async def heartbeat(self) -> datetime:
        """Renew the lease; returns until when it lasts. A `Worker` does so by itself."""
        return await self._renew(None)

    async def finish(self, result: Any = None) -> None:
        """End the task with its result.

        Raises:
            LeaseLostError: it is another worker's now, or cancelled.
            UnstorableError: the result can't be kept as it is; the task is not ended.
            VersionConflictError: this attempt has ended otherwise.
        """
        text = self._result(result)
        await self._end("finish", text)
        self._tell_ended("finished")

    async def finish_in(self, tx: Transaction, result: Any = None) -> None:
        """End the task in a transaction of yours: what else is written in it is applied if the task ends by it."""
        self.ending = True
        with self._noticing(), typed_refusals():
            await tx.fetchrow(queries("tasks")["finish"], self.task.id, self.task.lease_token, self._result(result))
        tx.after_commit(self._has_ended)
        tx.after_commit(lambda: self._tell_ended("finished"))

    async def fail(self, error: Exception | str, *, retry: bool = True) -> RetryAfter | Bury:
        """End this attempt; the next one is due after a pause, unless it was the last one or `retry` is false.

        Raises:
            LeaseLostError: it is another worker's now, or cancelled.
        """
        verdict = after_failure(
            self.task.attempts,
            self.task.max_attempts,
            retry=retry,
            backoff=self._backoff,
            chance=system.chance.random(),
        )
        pause_s = verdict.pause_s if isinstance(verdict, RetryAfter) else None
        await self._end("fail", describe(error), pause_s)
        self._tell_ended("dead" if pause_s is None else "failed")
        return verdict

    async def release(self) -> None:
        """Give the task back undone: it is due at once, and this attempt does not count."""
        await self._end("release")
        self._tell_ended("released")

    async def _renew(self, progress: str | None) -> datetime:
        asked_at = system.monotonic()
        arguments = (self.task.id, self.task.lease_token, self._lease_s, progress)
        row = await self._write(self._statements.write(queries("tasks")["progress"], *arguments))
        self._asked_at = asked_at
        until: datetime = row["lease_until"]
        return until

    async def _end(self, query: str, *arguments: Any) -> None:
        self.ending = True
        sql = queries("tasks")[query]
        await self._write(self._statements.write(sql, self.task.id, self.task.lease_token, *arguments))
        self._has_ended()

    def _has_ended(self) -> None:
        self.ended = True

    def lose(self) -> None:
        """Take note that the lease is another's, or the task cancelled."""
        if not self.lost:
            self.lost = True
            tell(self._statements.hooks, TaskLost(self.task.queue, self.task.attempts))

    def _tell_ended(self, end: TaskEnd) -> None:
        took_s = system.monotonic() - self._claimed_at
        tell(self._statements.hooks, TaskEnded(self.task.queue, end, self.task.attempts, took_s))

    async def _write(self, writing: Awaitable[T]) -> T:
        with self._noticing():
            return await writing

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except LeaseLostError as error:
            self.lose()
            error.hint = "Stop working on this task: it was cancelled, or another worker has it."
            raise

    def _result(self, result: Any) -> str:
        return encode(result, f"the result of the task {self.key!r}", self._max_bytes)

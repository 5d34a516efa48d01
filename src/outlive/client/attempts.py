"""The attempts at one operation: counted, paused between, and ended by the plan's verdict."""

from __future__ import annotations

import asyncio

from outlive.client.failures import to_error
from outlive.client.monitor import Monitor
from outlive.client.plan.retry import AttemptFailure, Budget, FailureKind, GiveUp, Reason, Retry, decide
from outlive.client.wire import Wire
from outlive.errors import OutliveError
from outlive.model.deadline import Deadline
from outlive.model.outcome import Outcome
from outlive.system import chance, monotonic

MAX_ATTEMPTS = 20


class Attempts:
    """`number` counts from 1 once the first attempt began."""

    __slots__ = ("_idempotent", "_monitor", "_pause_s", "_unknown", "deadline", "number")

    def __init__(self, monitor: Monitor, timeout_s: float, *, idempotent: bool) -> None:
        self.number = 0
        self.deadline = Deadline.after(timeout_s, monotonic())
        self._monitor = monitor
        self._idempotent = idempotent
        self._pause_s = 0.0
        self._unknown = False

    async def next(self) -> None:
        """Count an attempt, after the pause that its predecessor's failure asked for."""
        self.number += 1
        if self._pause_s:
            pause_s, self._pause_s = self._pause_s, 0.0
            await asyncio.sleep(pause_s)

    def failed(
        self, error: Exception, failure: AttemptFailure | None, wire: Wire | None, *, last: bool = False
    ) -> None:
        """Judge a failed attempt: returns if another one is due, else raises the caller's error.

        `failure` is the diagnosis of `error`; `last` rules another attempt out.
        """
        if failure is None:
            raise self._marked(error)
        if failure.kind is not FailureKind.CONFLICT:
            self._monitor.report()
        self._unknown |= failure.outcome is Outcome.UNKNOWN
        verdict = GiveUp(Reason.NOT_REPEATABLE) if last else self._decide(failure)
        if isinstance(verdict, GiveUp):
            node = str(wire.address) if wire is not None else "the primary"
            raise self._marked(to_error(failure, verdict, self.number, node)) from error
        self._pause_s = verdict.after_s

    def _decide(self, failure: AttemptFailure) -> Retry | GiveUp:
        return decide(
            failure,
            attempt=self.number,
            idempotent=self._idempotent,
            budget=Budget(MAX_ATTEMPTS, self.deadline),
            now=monotonic(),
            chance=chance.random(),
        )

    def _marked(self, error: Exception) -> Exception:
        """The error, with the truth about earlier attempts: one may have been applied, whatever the last one did."""
        if self._unknown and isinstance(error, OutliveError):
            error.outcome = Outcome.UNKNOWN
        elif self._unknown:
            error.add_note("An earlier attempt at this transaction may have been applied: its COMMIT was not answered.")
        return error

"""The attempts of one operation: counted, paused between, and ended by the plan's verdict."""

from __future__ import annotations

import asyncio

from outlive.client.failures import AttemptError, classify, to_error
from outlive.client.monitor import Monitor
from outlive.client.plan.retry import AttemptFailure, Budget, FailureKind, GiveUp, Phase, Reason, Retry, decide
from outlive.client.wire import Wire
from outlive.errors import OutliveError
from outlive.model.deadline import Deadline
from outlive.model.outcome import Outcome
from outlive.system import chance, monotonic

MAX_ATTEMPTS = 20
DEADLINE_CAME = "the deadline came"


class Attempts:
    """`number` counts from 1 once the first attempt began."""

    __slots__ = ("_budget", "_idempotent", "_monitor", "_pause_s", "_unknown", "number")

    def __init__(self, monitor: Monitor, timeout_s: float, *, idempotent: bool) -> None:
        self.number = 0
        self._monitor = monitor
        self._budget = Budget(MAX_ATTEMPTS, Deadline.after(timeout_s, monotonic()))
        self._idempotent = idempotent
        self._pause_s = 0.0
        self._unknown = False

    @property
    def deadline(self) -> Deadline:
        """When all of them together are over."""
        return self._budget.deadline

    async def next(self) -> None:
        """Count an attempt, after the pause that its predecessor's failure asked for."""
        self.number += 1
        if self._pause_s:
            pause_s, self._pause_s = self._pause_s, 0.0
            await asyncio.sleep(pause_s)

    def failed(self, error: BaseException, phase: Phase, wire: Wire | None = None, *, last: bool = False) -> None:
        """Judge a failed attempt: returns if another one is due, else raises the caller's error."""
        if isinstance(error, OutliveError):
            raise self._final(error)
        failure = _failure(error, phase, wire)
        if failure is None:
            raise error
        if failure.kind is not FailureKind.CONFLICT:
            self._monitor.report()
        verdict = GiveUp(Reason.LAST) if last else self._decide(failure)
        self._unknown |= failure.outcome is Outcome.UNKNOWN
        if isinstance(verdict, GiveUp):
            node = str(wire.address) if wire is not None else "the primary"
            raise self._final(to_error(failure, verdict, self.number, node)) from error
        self._pause_s = verdict.after_s

    def _decide(self, failure: AttemptFailure) -> Retry | GiveUp:
        return decide(
            failure,
            attempt=self.number,
            idempotent=self._idempotent,
            budget=self._budget,
            now=monotonic(),
            chance=chance.random(),
        )

    def _final(self, error: OutliveError) -> OutliveError:
        # An earlier attempt may have been applied, whatever became of the last one.
        if self._unknown:
            error.outcome = Outcome.UNKNOWN
        return error


def _failure(error: BaseException, phase: Phase, wire: Wire | None) -> AttemptFailure | None:
    if wire is None or wire.cut_reason is None or isinstance(error, AttemptError):
        return classify(error, phase, closed=wire is not None and not wire.is_open)
    failure = classify(error, phase, closed=True)
    if failure is None or failure.kind is not FailureKind.LOST:
        return failure
    kind = FailureKind.OVERDUE if wire.cut_reason == DEADLINE_CAME else FailureKind.LOST
    return AttemptFailure(phase, kind, wire.cut_reason, failure.sqlstate)

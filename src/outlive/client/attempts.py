"""The attempts at one operation: counted, paused between, and ended by the plan's verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from outlive.client.failures import to_error
from outlive.client.monitor import Monitor
from outlive.client.plan.retry import AttemptFailure, Budget, FailureKind, GiveUp, Reason, Retry, decide
from outlive.client.wire import Wire
from outlive.errors import CommitUnknownError, OutliveError
from outlive.model.deadline import Deadline
from outlive.model.outcome import Outcome
from outlive.system import chance, monotonic
from outlive.telemetry.events import AttemptFinished, AttemptStarted
from outlive.telemetry.hooks import tell

MAX_ATTEMPTS = 20

Resolver = Callable[[float], Awaitable[Outcome]]
"""Finds out within so many seconds what became of a transaction."""


class Attempts:
    """`number` counts from 1 once the first attempt began."""

    __slots__ = (
        "_began_at",
        "_hooks",
        "_idempotent",
        "_monitor",
        "_pause_s",
        "_resolver",
        "_unknown",
        "deadline",
        "number",
    )

    def __init__(
        self, monitor: Monitor, timeout_s: float, *, idempotent: bool, resolver: Resolver | None = None
    ) -> None:
        self.number = 0
        self.deadline = Deadline.after(timeout_s, monotonic())
        self._monitor = monitor
        self._hooks = monitor.hooks
        self._began_at = 0.0
        self._idempotent = idempotent
        self._pause_s = 0.0
        self._unknown = False
        self._resolver = resolver

    def resolved(self) -> None:
        """The key was free: whatever became unknown before was not applied, and never will be."""
        self._unknown = False

    async def next(self) -> None:
        """Count an attempt, after the pause that its predecessor's failure asked for."""
        self.number += 1
        if self._pause_s:
            pause_s, self._pause_s = self._pause_s, 0.0
            await asyncio.sleep(pause_s)
        if self._hooks:
            self._began_at = monotonic()
            tell(self._hooks, AttemptStarted(self.number))

    def failed(
        self, error: Exception, failure: AttemptFailure | None, wire: Wire | None, *, last: bool = False
    ) -> None:
        """Judge a failed attempt: returns if another one is due, else raises the caller's error.

        `failure` is the diagnosis of `error`; `last` rules another attempt out.
        """
        if failure is None:
            self.abandoned(wire, type(error).__name__)
            raise self._marked(error)
        if failure.kind is not FailureKind.CONFLICT:
            self._monitor.report()
        self._unknown |= failure.outcome is Outcome.UNKNOWN
        verdict = GiveUp(Reason.NOT_REPEATABLE) if last else self._decide(failure)
        if self._hooks:
            self._tell_failure(failure, verdict, wire)
        if isinstance(verdict, GiveUp):
            node = str(wire.address) if wire is not None else "the primary"
            raise self._marked(to_error(failure, verdict, self.number, node)) from error
        self._pause_s = verdict.after_s

    def succeeded(self, wire: Wire) -> None:
        """The attempt did what it was for."""
        if self._hooks:
            tell(self._hooks, AttemptFinished(self.number, self._took_s(), Outcome.APPLIED, node=wire.address))

    def abandoned(self, wire: Wire | None, reason: str, outcome: Outcome = Outcome.NOT_APPLIED) -> None:
        """The attempt ended without being judged: by the caller's own error, or because the caller was cancelled."""
        if self._hooks:
            node = None if wire is None else wire.address
            told = AttemptFinished(self.number, self._took_s(), outcome, True, node, reason=reason)
            tell(self._hooks, told)

    def _tell_failure(self, failure: AttemptFailure, verdict: Retry | GiveUp, wire: Wire | None) -> None:
        told = AttemptFinished(
            attempt=self.number,
            duration_s=self._took_s(),
            outcome=failure.outcome,
            failed=True,
            node=None if wire is None else wire.address,
            phase=failure.phase.value,
            kind=failure.kind.value,
            reason=failure.message,
            sqlstate=failure.sqlstate,
            retry_after_s=verdict.after_s if isinstance(verdict, Retry) else None,
        )
        tell(self._hooks, told)

    def _took_s(self) -> float:
        return monotonic() - self._began_at

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
        if isinstance(error, CommitUnknownError):
            error.resolver = self._resolver
        if self._unknown and isinstance(error, OutliveError):
            error.outcome = Outcome.UNKNOWN
        elif self._unknown:
            error.add_note("An earlier attempt at this transaction may have been applied: its COMMIT was not answered.")
        return error

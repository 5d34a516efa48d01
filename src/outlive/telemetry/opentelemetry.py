"""Attempts as spans of OpenTelemetry, within whatever span is current in the task that makes the call.

    outlive.connect(dsn, telemetry=OpenTelemetryHook())

A span is made when its attempt has ended, with the times of its beginning and end: what a driver's own
instrumentation records lies beside it, not within. Events that belong to no call are no spans.

Source: OpenTelemetry semantic conventions, "Database client spans".
"""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.util.types import AttributeValue

from outlive.system import now_utc
from outlive.telemetry.events import AttemptFinished, Event, TaskEnded

Attributes = dict[str, AttributeValue]
NS_PER_S = 1_000_000_000


class OpenTelemetryHook:
    """A span named `outlive attempt` for each attempt at a call, and one named `outlive task` for each at a task.

    The global provider counts if none is given.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("outlive", tracer_provider=provider)

    def __call__(self, event: Event) -> None:
        """Record a finished attempt at a call, or at a task."""
        match event:
            case AttemptFinished():
                self._record(
                    "outlive attempt", SpanKind.CLIENT, event.duration_s, _attributes(event), event.failed, event.reason
                )
            case TaskEnded():
                failed = event.end in ("failed", "dead")
                self._record(
                    "outlive task", SpanKind.CONSUMER, event.duration_s, _task_attributes(event), failed, event.end
                )
            case _:
                pass

    def _record(
        self, name: str, kind: SpanKind, took_s: float, attributes: Attributes, failed: bool, reason: str | None
    ) -> None:
        end = int(now_utc().timestamp() * NS_PER_S)
        span = self._tracer.start_span(name, kind=kind, start_time=end - int(took_s * NS_PER_S), attributes=attributes)
        if failed:
            span.set_status(Status(StatusCode.ERROR, reason))
        span.end(end)


def _task_attributes(event: TaskEnded) -> Attributes:
    return {
        "messaging.system": "postgresql",
        "messaging.destination.name": event.queue,
        "outlive.attempt": event.attempt,
        "outlive.end": event.end,
    }


def _attributes(event: AttemptFinished) -> Attributes:
    known: dict[str, AttributeValue | None] = {
        "db.system.name": "postgresql",
        "server.address": event.node.host if event.node else None,
        "server.port": event.node.port if event.node else None,
        "db.response.status_code": event.sqlstate,
        "outlive.attempt": event.attempt,
        "outlive.outcome": event.outcome.value,
        "outlive.phase": event.phase,
        "outlive.failure": event.kind,
        "outlive.retry_after_s": event.retry_after_s,
    }
    return {name: value for name, value in known.items() if value is not None}

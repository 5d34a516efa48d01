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
from outlive.telemetry.events import AttemptFinished, Event

NS_PER_S = 1_000_000_000


class OpenTelemetryHook:
    """A span named `outlive attempt` for each attempt; the global provider counts if none is given."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("outlive", tracer_provider=provider)

    def __call__(self, event: Event) -> None:
        """Record a finished attempt."""
        if not isinstance(event, AttemptFinished):
            return
        end = int(now_utc().timestamp() * NS_PER_S)
        span = self._tracer.start_span(
            "outlive attempt",
            kind=SpanKind.CLIENT,
            start_time=end - int(event.duration_s * NS_PER_S),
            attributes=_attributes(event),
        )
        if event.failed:
            span.set_status(Status(StatusCode.ERROR, event.reason))
        span.end(end)


def _attributes(event: AttemptFinished) -> dict[str, AttributeValue]:
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

"""The hooks, and each back end with the real library."""

import logging
import subprocess
import sys

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry

import outlive
from outlive.model.lsn import Lsn, Timeline
from outlive.model.outcome import Outcome
from outlive.model.topology import Address, NodeFacts, NodeSilence, Role, Topology
from outlive.telemetry.events import (
    AttemptFinished,
    AttemptStarted,
    DurabilityDegraded,
    DurabilityRestored,
    Event,
    PoolWaited,
    PrimaryFound,
    PrimaryLost,
    QueueMeasured,
    TaskClaimed,
    TaskEnded,
    TaskLost,
    TasksEnqueued,
    TopologyChanged,
)
from outlive.telemetry.hooks import collect, tell
from outlive.telemetry.opentelemetry import OpenTelemetryHook
from outlive.telemetry.prometheus import PrometheusHook
from outlive.telemetry.structlog import StructlogHook

NODE, OTHER = Address("h1", 5432), Address("h2", 5432)
LOST = AttemptFinished(
    1, 0.25, Outcome.UNKNOWN, True, NODE, "commit", "lost", "the connection was lost", "08006", retry_after_s=0.01
)
DONE = AttemptFinished(2, 0.5, Outcome.APPLIED, node=NODE)
PICTURE = Topology(
    (NodeFacts(NODE, "1", Role.PRIMARY, Timeline(3), Lsn(1), 0.0, 0.0),), (NodeSilence(OTHER, "it is gone", 0.0),)
)
EVENTS: tuple[Event, ...] = (
    AttemptStarted(1),
    LOST,
    DONE,
    TopologyChanged(PICTURE),
    PrimaryFound(NODE, Timeline(3)),
    DurabilityRestored(NODE),
    PoolWaited(NODE, 0.1, served=True),
    DurabilityDegraded(NODE, "no standby"),
    PrimaryLost(NODE, "it is gone"),
)


def test_a_hook_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged, and the next hook is called all the same."""

    def broken(event: Event) -> None:
        raise ValueError(event)

    heard: list[Event] = []
    with caplog.at_level(logging.ERROR, "outlive.telemetry"):
        tell(collect([broken, heard.append]), DONE)
    assert heard == [DONE]
    assert "AttemptFinished" in caplog.text


def test_what_can_not_be_called_is_refused() -> None:
    """A wrong hook is an error when the client is made, not at the first event."""
    with pytest.raises(outlive.ConfigurationError, match="telemetry can't be 'x'"):
        outlive.connect("postgresql://app@h1/db", telemetry=["x"])  # type: ignore[list-item]
    with pytest.raises(outlive.ConfigurationError, match="telemetry can't be 5"):
        outlive.connect("postgresql://app@h1/db", telemetry=5)  # type: ignore[arg-type]


def test_structlog_gets_names_levels_and_plain_values() -> None:
    """Failures and losses are warnings; addresses and outcomes are text."""
    with structlog.testing.capture_logs() as entries:
        hook = StructlogHook()
        for event in EVENTS:
            hook(event)
    assert [entry["event"] for entry in entries][:3] == ["attempt_started", "attempt_finished", "attempt_finished"]
    assert [entry["log_level"] for entry in entries][:3] == ["debug", "warning", "debug"]
    assert (entries[1]["node"], entries[1]["outcome"], entries[1]["sqlstate"]) == ("h1:5432", "unknown", "08006")
    assert entries[3]["topology"] == {"h1:5432": "primary on timeline 3", "h2:5432": "silent: it is gone"}
    assert "phase" not in entries[2]


def test_prometheus_counts() -> None:
    """Attempts by outcome, retries, the picture of the cluster and its durability become metrics."""
    registry = CollectorRegistry()
    hook = PrometheusHook(registry)
    for event in EVENTS[:7]:
        hook(event)
    sample = registry.get_sample_value
    assert sample("outlive_attempt_seconds_count", {"outcome": "unknown", "kind": "lost"}) == 1
    assert sample("outlive_attempt_seconds_sum", {"outcome": "applied", "kind": "none"}) == 0.5
    assert sample("outlive_retries_total", {"kind": "lost"}) == 1
    assert sample("outlive_node_up", {"node": "h2:5432"}) == 0
    assert sample("outlive_node_primary", {"node": "h1:5432"}) == 1
    assert sample("outlive_synchronous") == 1
    assert sample("outlive_pool_wait_seconds_count", {"node": "h1:5432", "served": "true"}) == 1
    for event in EVENTS[7:]:
        hook(event)
    assert sample("outlive_node_primary", {"node": "h1:5432"}) == 0
    assert sample("outlive_synchronous") == 0


def test_opentelemetry_gets_a_span_an_attempt() -> None:
    """Each attempt is a span in the caller's own, as long as the attempt was, an error if it failed."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    hook = OpenTelemetryHook(provider)
    with provider.get_tracer("test").start_as_current_span("turn") as turn:
        for event in EVENTS:
            hook(event)
    failed, done, _ = exporter.get_finished_spans()
    assert failed.parent is not None
    assert failed.parent.span_id == turn.get_span_context().span_id
    assert failed.start_time is not None
    assert failed.end_time is not None
    assert failed.end_time - failed.start_time == 250_000_000
    assert (failed.status.status_code, done.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert failed.attributes is not None
    assert failed.attributes["outlive.outcome"] == "unknown"
    assert failed.attributes["server.port"] == 5432


def test_a_plain_import_brings_no_optional_package() -> None:
    """`import outlive` loads none of the extras, nor what only the command line needs."""
    heavy = "{'structlog', 'prometheus_client', 'opentelemetry', 'sqlalchemy', 'psycopg', 'httpx', 'typer', 'rich'}"
    line = f"import sys, outlive, outlive.sync; print({heavy} & {{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "set()\n"


TASK_EVENTS: tuple[Event, ...] = (
    TasksEnqueued("mails", 3),
    TaskClaimed("mails", 1, 0.25),
    TaskClaimed("mails", 2, None),
    TaskEnded("mails", "finished", 1, 0.5),
    TaskEnded("mails", "dead", 2, 1.0),
    TaskLost("mails", 1),
    QueueMeasured("mails", 4, 3, 2, 1, 60.0),
)


def test_tasks_become_metrics() -> None:
    """By queue: what was enqueued, claimed, ended and lost, how long it waited, and what is there."""
    registry = CollectorRegistry()
    hook = PrometheusHook(registry)
    for event in TASK_EVENTS:
        hook(event)
    sample, queue = registry.get_sample_value, {"queue": "mails"}
    assert sample("outlive_tasks_enqueued_total", queue) == 3
    assert sample("outlive_tasks_claimed_total", queue) == 2
    assert (sample("outlive_task_queue_seconds_count", queue), sample("outlive_task_queue_seconds_sum", queue)) == (
        1,
        0.25,
    )
    assert sample("outlive_task_seconds_sum", queue | {"end": "dead"}) == 1.0
    assert sample("outlive_task_leases_lost_total", queue) == 1
    depths = {state: sample("outlive_queue_tasks", queue | {"state": state}) for state in ("due", "running", "dead")}
    assert depths == {"due": 4, "running": 2, "dead": 1}
    assert sample("outlive_queue_waits_seconds", queue) == 60


def test_tasks_become_spans_and_log_entries() -> None:
    """An attempt is a span, an error where it failed; what failed or was lost is logged as a warning."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with structlog.testing.capture_logs() as entries:
        for hook in (OpenTelemetryHook(provider), StructlogHook()):
            for event in TASK_EVENTS:
                hook(event)
    spans = exporter.get_finished_spans()
    assert [(span.name, span.status.status_code) for span in spans] == [
        ("outlive task", StatusCode.UNSET), ("outlive task", StatusCode.ERROR),
    ]  # fmt: skip
    assert dict(spans[0].attributes or {})["messaging.destination.name"] == "mails"
    assert [entry["event"] for entry in entries if entry["log_level"] == "warning"] == ["task_ended", "task_lost"]

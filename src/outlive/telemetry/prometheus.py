"""Events as metrics of prometheus-client.

    outlive.connect(dsn, telemetry=PrometheusHook())

Two clients of one process share a hook, as a registry takes each metric once.
"""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from outlive.model.topology import Role, Topology
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


class PrometheusHook:
    """Keeps the metrics `outlive_*` in a registry, the default one if none is given."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._attempts = Histogram(
            "outlive_attempt_seconds", "Attempts at calls, by what became of them", ["outcome", "kind"],
            registry=registry,
        )  # fmt: skip
        self._retries = Counter("outlive_retries", "Attempts that another one follows", ["kind"], registry=registry)
        self._pool = Histogram(
            "outlive_pool_wait_seconds", "Waits for a connection while all are in use", ["node", "served"],
            registry=registry,
        )  # fmt: skip
        self._up = Gauge("outlive_node_up", "Whether the node answers", ["node"], registry=registry)
        self._primary = Gauge("outlive_node_primary", "Whether the node takes writes", ["node"], registry=registry)
        self._changes = Counter("outlive_primary_changes", "Primaries found", registry=registry)
        self._synchronous = Gauge(
            "outlive_synchronous", "Whether a synchronous standby confirms the primary's commits", registry=registry
        )

        self._tasks = _TaskMetrics(registry)

    def __call__(self, event: Event) -> None:
        """Count the event."""
        match event:
            case TasksEnqueued() | TaskClaimed() | TaskEnded() | TaskLost() | QueueMeasured():
                self._tasks.count(event)
            case AttemptStarted():
                pass
            case AttemptFinished():
                self._attempt(event)
            case PoolWaited(node, waited_s, served):
                self._pool.labels(str(node), str(served).lower()).observe(waited_s)
            case TopologyChanged(topology):
                self._topology(topology)
            case PrimaryFound(node):
                self._changes.inc()
                self._primary.labels(str(node)).set(1)
            case PrimaryLost(node):
                self._primary.labels(str(node)).set(0)
                self._synchronous.set(0)
            case DurabilityDegraded() | DurabilityRestored():
                self._synchronous.set(isinstance(event, DurabilityRestored))

    def _attempt(self, event: AttemptFinished) -> None:
        kind = (event.kind or "own") if event.failed else "none"
        self._attempts.labels(event.outcome.value, kind).observe(event.duration_s)
        if event.retry_after_s is not None:
            self._retries.labels(kind).inc()

    def _topology(self, topology: Topology) -> None:
        for node in topology.nodes:
            self._up.labels(str(node.address)).set(1)
            if node.role is Role.STANDBY:
                self._primary.labels(str(node.address)).set(0)
        for silence in topology.silent:
            self._up.labels(str(silence.address)).set(0)


class _TaskMetrics:
    """Metrics of queues."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._enqueued = Counter("outlive_tasks_enqueued", "Tasks given to a queue", ["queue"], registry=registry)
        self._waits = Histogram(
            "outlive_task_queue_seconds", "From enqueueing to the first claim", ["queue"], registry=registry
        )
        self._claimed = Counter("outlive_tasks_claimed", "Tasks claimed, each attempt", ["queue"], registry=registry)
        self._ends = Histogram(
            "outlive_task_seconds", "From the claim to the end of the attempt", ["queue", "end"], registry=registry
        )
        self._lost = Counter(
            "outlive_task_leases_lost", "Tasks lost to others or cancelled", ["queue"], registry=registry
        )
        self._depth = Gauge("outlive_queue_tasks", "Tasks in a queue", ["queue", "state"], registry=registry)
        self._waiting = Gauge(
            "outlive_queue_waits_seconds", "For how long the first task due has waited", ["queue"], registry=registry
        )

    def count(self, event: TasksEnqueued | TaskClaimed | TaskEnded | TaskLost | QueueMeasured) -> None:
        """Count the event."""
        match event:
            case TasksEnqueued(queue, tasks):
                self._enqueued.labels(queue).inc(tasks)
            case TaskClaimed(queue, _, waited_s):
                self._claimed.labels(queue).inc()
                if waited_s is not None:
                    self._waits.labels(queue).observe(waited_s)
            case TaskEnded(queue, end, _, duration_s):
                self._ends.labels(queue, end).observe(duration_s)
            case TaskLost(queue):
                self._lost.labels(queue).inc()
            case QueueMeasured(queue, due, delayed, running, dead, waits_s):
                for state, number in (("due", due), ("delayed", delayed), ("running", running), ("dead", dead)):
                    self._depth.labels(queue, state).set(number)
                self._waiting.labels(queue).set(waits_s)

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

    def __call__(self, event: Event) -> None:
        """Count the event."""
        match event:
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

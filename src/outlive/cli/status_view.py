"""How a cluster's health is shown: a table and one line for people, an object for programs."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from outlive.cluster.plan.health import (
    ClusterFacts,
    NodeReport,
    Safe,
    Unsafe,
    critical_writes,
    receive_lag_bytes,
    replay_lag_bytes,
)

_COLUMNS = ("node", "role", "state", "timeline", "receive lag", "replay lag", "sync", "region", "etcd", "port")


def table(facts: ClusterFacts) -> RenderableType:
    """The nodes, and under them whether critical writes are safe."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        grid.add_column(column, no_wrap=True)
    for node in facts.nodes:
        grid.add_row(*_cells(facts, node))
    return Group(grid, Text(), _verdict(facts))


def as_json(facts: ClusterFacts) -> dict[str, Any]:
    """The same for a program; lags in bytes, null where unknown."""
    verdict = critical_writes(facts)
    safe = isinstance(verdict, Safe)
    return {
        "nodes": [_node_json(facts, node) for node in facts.nodes],
        "critical_writes_safe": safe,
        "synchronous_standbys": list(verdict.standbys) if isinstance(verdict, Safe) else [],
        "reason": verdict.reason if isinstance(verdict, Unsafe) else None,
        "next_command": verdict.next_command if isinstance(verdict, Unsafe) else None,
    }


def _node_json(facts: ClusterFacts, node: NodeReport) -> dict[str, Any]:
    return {
        "name": node.name,
        "role": _role(node),
        "state": _state(node),
        "timeline": node.timeline,
        "receive_lag_bytes": None if node.is_primary else receive_lag_bytes(facts, node),
        "replay_lag_bytes": None if node.is_primary else replay_lag_bytes(facts, node),
        "sync_state": _sync_state(facts, node),
        "region": node.region,
        "etcd_healthy": node.etcd_healthy,
        "supervisor_pid": node.supervisor_pid,
        "port": node.postgres_port,
    }


def _cells(facts: ClusterFacts, node: NodeReport) -> tuple[str, ...]:
    lags = (receive_lag_bytes(facts, node), replay_lag_bytes(facts, node))
    shown = ("", "") if node.witness or node.is_primary else tuple(_bytes(lag) for lag in lags)
    return (
        node.name,
        _role(node) or "?",
        _state(node),
        str(node.timeline or ""),
        *shown,
        _sync_state(facts, node) or "",
        node.region or "",
        "ok" if node.etcd_healthy else "silent",
        str(node.postgres_port or ""),
    )


def _role(node: NodeReport) -> str | None:
    if node.witness:
        return "witness"
    return {"primary": "primary", "master": "primary", "replica": "standby"}.get(node.role or "")


def _state(node: NodeReport) -> str:
    if node.supervisor_pid is None and not node.patroni_answers and not node.etcd_healthy:
        return "down"
    if node.witness:
        return "voting" if node.etcd_healthy else "silent"
    if not node.patroni_answers:
        return "silent"
    return "streaming" if node.is_streaming and node.replication_state else (node.state or "unknown")


def _sync_state(facts: ClusterFacts, node: NodeReport) -> str | None:
    primary = facts.primary
    rows = primary.replication if primary else ()
    return next((row.sync_state for row in rows if row.name == node.name), None)


def _bytes(count: int | None) -> str:
    if count is None:
        return "unknown"
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _verdict(facts: ClusterFacts) -> Text:
    match critical_writes(facts):
        case Safe(standbys):
            return Text(f"Critical writes are safe: each waits for one of {', '.join(standbys)}.", style="green")
        case Unsafe(reason, next_command):
            return Text(f"Critical writes are NOT safe: {reason}. Next: {next_command}", style="bold red")

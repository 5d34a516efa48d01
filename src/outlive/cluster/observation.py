"""Asks every node of a cluster, side by side, how it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg

from outlive import system
from outlive.cluster.directory import ClusterDirectory, NodeDirectory
from outlive.cluster.plan.health import ClusterFacts, NodeReport, Replication
from outlive.cluster.plan.patroni_config import SUPERUSER
from outlive.cluster.spec import ClusterSpec, NodeSpec, Secrets
from outlive.cluster.state import supervisor_pid
from outlive.errors import ControlPlaneError
from outlive.etcd.client import EtcdClient
from outlive.model.lsn import Timeline
from outlive.patroni.client import PatroniClient

TIMEOUT_S = 3.0
"""A program that is gone refuses at once: this is waited for where one is frozen, or where its machine is busy."""
PRIMARY_LIMIT_S = 10.0
_POLL_S = 0.1


async def observe(spec: ClusterSpec, secrets: Secrets, directory: ClusterDirectory) -> ClusterFacts:
    """What every node says of itself now; one that doesn't answer within `TIMEOUT_S` is reported as silent."""
    etcd = EtcdClient([f"http://{node.host}:{node.ports.etcd_client}" for node in spec.nodes], timeout_s=TIMEOUT_S)
    try:
        reports = await asyncio.gather(
            *(_observe_node(node, files, secrets, etcd) for node, files in directory.nodes(spec))
        )
    finally:
        await etcd.close()
    return ClusterFacts(nodes=tuple(reports))


async def find_primary(
    spec: ClusterSpec, secrets: Secrets, directory: ClusterDirectory, *, within_s: float = PRIMARY_LIMIT_S
) -> NodeReport | None:
    """The primary, looked for again while there is none; None if there was none in time, or if nothing runs.

    One look does not tell: an answer that came late is no failover, and after a failover there is one soon.
    """
    until = system.monotonic() + within_s
    while True:
        facts = await observe(spec, secrets, directory)
        runs = any(node.supervisor_pid is not None or node.patroni_answers for node in facts.nodes)
        if facts.primary is not None or not runs or system.monotonic() > until:
            return facts.primary
        await asyncio.sleep(_POLL_S)


async def observe_with_standby_names(spec: ClusterSpec, secrets: Secrets, directory: ClusterDirectory) -> ClusterFacts:
    """The same with the primary's `synchronous_standby_names`, which only the database tells."""
    facts, names = await asyncio.gather(observe(spec, secrets, directory), _standby_names(spec, secrets))
    return replace(facts, synchronous_standby_names=names)


async def _standby_names(spec: ClusterSpec, secrets: Secrets) -> str | None:
    """The setting in force on the primary; None if no primary could be asked."""
    try:
        connection = await asyncpg.connect(
            host=[node.host for node in spec.data_nodes],
            port=[node.ports.postgres for node in spec.data_nodes],
            user=SUPERUSER,
            password=secrets.superuser,
            database="postgres",
            target_session_attrs="primary",
            timeout=TIMEOUT_S,
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return None
    try:
        return str(await connection.fetchval("SHOW synchronous_standby_names", timeout=TIMEOUT_S))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return None
    finally:
        connection.terminate()


async def setting(node: NodeSpec, secrets: Secrets, name: str) -> str | None:
    """A setting in force on one node; None if it could not be asked."""
    try:
        connection = await asyncpg.connect(
            host=node.host, port=node.ports.postgres, user=SUPERUSER, password=secrets.superuser,
            database="postgres", timeout=TIMEOUT_S,
        )  # fmt: skip
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return None
    try:
        return str(await connection.fetchval("SELECT current_setting($1)", name, timeout=TIMEOUT_S))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return None
    finally:
        connection.terminate()


async def _observe_node(node: NodeSpec, files: NodeDirectory, secrets: Secrets, etcd: EtcdClient) -> NodeReport:
    etcd_healthy, patroni = await asyncio.gather(
        etcd.healthy(f"http://{node.host}:{node.ports.etcd_client}"), _ask_patroni(node, secrets)
    )
    said = patroni or {}
    xlog = said.get("xlog", {})
    return NodeReport(
        name=node.name,
        witness=node.witness,
        region=node.region,
        postgres_port=node.ports.postgres,
        supervisor_pid=supervisor_pid(files),
        etcd_healthy=etcd_healthy,
        patroni_answers=patroni is not None,
        role=said.get("role"),
        state=said.get("state"),
        replication_state=said.get("replication_state"),
        timeline=Timeline(said["timeline"]) if said.get("timeline") else None,
        location=xlog.get("location"),
        received_location=xlog.get("received_location"),
        replayed_location=xlog.get("replayed_location"),
        replication=tuple(
            Replication(str(row.get("application_name")), str(row.get("state")), str(row.get("sync_state")))
            for row in said.get("replication", ())
        ),
        paused=bool(said.get("pause")),
        may_lead=bool(said.get("quorum_standby") or said.get("sync_standby")),
    )


async def _ask_patroni(node: NodeSpec, secrets: Secrets) -> dict[str, Any] | None:
    if node.witness:
        return None
    patroni = PatroniClient(f"http://{node.host}:{node.ports.rest}", secrets.rest, timeout_s=TIMEOUT_S)
    try:
        return await patroni.state()
    except (ControlPlaneError, ValueError):
        return None
    finally:
        await patroni.close()

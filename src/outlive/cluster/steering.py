"""Planned changes of a running cluster: hand the lead over, restart PostgreSQL node by node."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from outlive import system
from outlive.cluster import observation
from outlive.cluster.directory import ClusterDirectory
from outlive.cluster.plan.health import missing
from outlive.cluster.spec import ClusterSpec, Secrets
from outlive.cluster.starting import Report
from outlive.errors import ConfigurationError, ControlPlaneError, NoPrimaryError
from outlive.patroni.client import PatroniClient

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Switched:
    """A switchover that is done: `seconds` from the request until the new primary ran."""

    old: str
    new: str
    seconds: float


async def switchover(directory: ClusterDirectory, candidate: str | None, *, timeout_s: float) -> Switched:
    """Hand the lead to `candidate`, or to the standby that Patroni chooses, and wait until it is primary.

    Raises:
        ConfigurationError: there is no such cluster or standby.
        NoPrimaryError: there is no primary to hand over from.
        ControlPlaneError: Patroni refused, or it took longer than `timeout_s` seconds.
    """
    spec, secrets = directory.load()
    _require_names(spec, [candidate] if candidate else [])
    started = system.monotonic()
    primary = await observation.find_primary(spec, secrets, directory)
    if primary is None:
        raise NoPrimaryError("the cluster has no primary now")
    old = primary.name
    if candidate == old:
        raise ConfigurationError(f"{old} is the primary already", hint="Name a standby, or none.")
    patroni = _patroni(spec, secrets, old)
    try:
        await patroni.switchover(old, candidate, timeout_s=timeout_s)
    finally:
        await patroni.close()
    until = started + timeout_s
    while system.monotonic() < until:
        new = (await observation.observe(spec, secrets, directory)).primary
        if new is not None and new.name != old:
            return Switched(old, new.name, system.monotonic() - started)
        await asyncio.sleep(_POLL_S)
    raise ControlPlaneError(f"no new primary after {timeout_s:.0f} s", hint="`outlive status` shows what runs.")


async def restart(directory: ClusterDirectory, names: Sequence[str], report: Report, *, timeout_s: float) -> list[str]:
    """Restart PostgreSQL on the named nodes, or on all: standbys first, the primary last, one after the other.

    Returns their names in that order.

    Raises:
        ConfigurationError: there is no such cluster or node.
        ControlPlaneError: a node did not come back within `timeout_s` seconds.
    """
    spec, secrets = directory.load()
    _require_names(spec, names)
    primary = await observation.find_primary(spec, secrets, directory)
    chosen = [node.name for node in spec.data_nodes if not names or node.name in names]
    ordered = sorted(chosen, key=lambda name: primary is not None and name == primary.name)
    for name in ordered:
        report(f"restarting {name}")
        patroni = _patroni(spec, secrets, name)
        try:
            await patroni.restart(timeout_s=timeout_s)
        finally:
            await patroni.close()
        await _wait_until_whole(directory, spec, secrets, name, timeout_s)
    return ordered


async def _wait_until_whole(
    directory: ClusterDirectory, spec: ClusterSpec, secrets: Secrets, name: str, timeout_s: float
) -> None:
    until = system.monotonic() + timeout_s
    while system.monotonic() < until:
        facts = await observation.observe(spec, secrets, directory)
        if not [lack for lack in missing(facts) if name in lack or "primary" in lack]:
            return
        await asyncio.sleep(_POLL_S)
    raise ControlPlaneError(f"{name} is not back after {timeout_s:.0f} s", hint=f"`outlive logs {name}` tells more.")


def _require_names(spec: ClusterSpec, names: Sequence[str]) -> None:
    known = [node.name for node in spec.data_nodes]
    for name in names:
        if name not in known:
            raise ConfigurationError(f"the cluster has no data node {name!r}", hint=f"It has {', '.join(known)}.")


def _patroni(spec: ClusterSpec, secrets: Secrets, name: str) -> PatroniClient:
    node = spec.node(name)
    return PatroniClient(f"http://{node.host}:{node.ports.rest}", secrets.rest)

"""How a node's programs are stopped: in order, asked first, and with an end to every wait."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from outlive import system
from outlive.cluster import processes
from outlive.cluster.children import Child, Postmaster
from outlive.cluster.journal import Journal
from outlive.cluster.plan.reactions import Alive

PATRONI_LIMIT_S = 40.0
"""Patroni stops PostgreSQL, whose shutdown checkpoint may take its time."""
POSTMASTER_LIMIT_S = 10.0
ETCD_LIMIT_S = 2.0
"""The last member to stop has nobody to hand its lead to, and would try for 7 s; its log is on disk already."""
KILL_LIMIT_S = 5.0
_POLL_S = 0.02


async def stop(etcd: Child, patroni: Child, postmaster: Postmaster, journal: Journal) -> None:
    """Stop everything of the node; afterwards no process of it is left."""
    await drain(patroni, postmaster, journal)
    await _stop_child(etcd, ETCD_LIMIT_S, journal)
    await _kill_rest(None, journal)


async def drain(patroni: Child, postmaster: Postmaster, journal: Journal) -> None:
    """Stop Patroni and PostgreSQL."""
    postmaster.observe(processes.reap())
    if patroni.pid is None and postmaster.pid is None:
        return
    await _stop_child(patroni, PATRONI_LIMIT_S, journal)
    # A Patroni in maintenance mode, or one that was killed, leaves PostgreSQL running.
    for which in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        postmaster.observe(processes.reap())
        if not isinstance(postmaster.liveness, Alive):
            break
        pid = postmaster.liveness.pid
        journal.record("postmaster-signalled", pid=pid, signal=which.name)
        processes.send([pid], which)
        await _gone(lambda: not processes.is_alive(pid), POSTMASTER_LIMIT_S)  # noqa: B023 - awaited in the same turn
    postmaster.forget()
    journal.record("drained")


async def _stop_child(child: Child, limit_s: float, journal: Journal) -> None:
    pid = child.pid
    if pid is not None and child.id is not None and child.id.alive():
        process = child.id
        processes.send([pid], signal.SIGTERM)
        if not await _gone(lambda: not process.alive(), limit_s):
            journal.record("killed", program=child.name, pid=pid, after_s=limit_s)
            processes.send([pid], signal.SIGKILL)
            await _gone(lambda: not process.alive(), KILL_LIMIT_S)
    child.forget()


async def _kill_rest(spared: int | None, journal: Journal) -> None:
    rest = processes.descendants_apart_from(spared)
    if rest:
        journal.record("killed", pids=rest)
        processes.send(rest, signal.SIGKILL)
        await _gone(lambda: not processes.descendants_apart_from(spared), KILL_LIMIT_S)


async def _gone(condition: Callable[[], bool], limit_s: float) -> bool:
    until = system.monotonic() + limit_s
    while system.monotonic() < until:
        processes.reap()
        if condition():
            return True
        await asyncio.sleep(_POLL_S)
    return False

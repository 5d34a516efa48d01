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
ARCHIVER_LIMIT_S = 3.0
KILL_LIMIT_S = 5.0
_POLL_S = 0.02
Reap = Callable[[], frozenset[int]]
"""`processes.reap` in a supervisor; elsewhere something that takes no exit status, as the children are somebody's."""


async def stop(
    etcd: Child, patroni: Child, postmaster: Postmaster, archiver: Child, journal: Journal, reap: Reap
) -> None:
    """Stop the node's programs; the archiver after PostgreSQL, whose last WAL it takes."""
    await drain(patroni, postmaster, journal, reap)
    await stop_archiver(archiver, journal, reap)
    await _stop_child(etcd, ETCD_LIMIT_S, journal, reap)


async def stop_archiver(archiver: Child, journal: Journal, reap: Reap) -> None:
    """Stop the archiver; what it had under way is asked for again."""
    await _stop_child(archiver, ARCHIVER_LIMIT_S, journal, reap)


async def drain(patroni: Child, postmaster: Postmaster, journal: Journal, reap: Reap) -> None:
    """Stop Patroni and PostgreSQL."""
    postmaster.observe(reap())
    if patroni.pid is None and postmaster.pid is None:
        return
    await _stop_child(patroni, PATRONI_LIMIT_S, journal, reap)
    # A Patroni in maintenance mode, or one that was killed, leaves PostgreSQL running.
    for which in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        postmaster.observe(reap())
        if not isinstance(postmaster.liveness, Alive):
            break
        pid = postmaster.liveness.pid
        journal.record("postmaster-signalled", pid=pid, signal=which.name)
        processes.send([pid], which)
        await _gone(lambda: not processes.is_alive(pid), POSTMASTER_LIMIT_S, reap)  # noqa: B023 - awaited in the same turn
    postmaster.forget()
    journal.record("drained")


async def _stop_child(child: Child, limit_s: float, journal: Journal, reap: Reap) -> None:
    pid = child.pid
    if pid is not None and child.id is not None and child.id.alive():
        process = child.id
        processes.send([pid], signal.SIGTERM)
        if not await _gone(lambda: not process.alive(), limit_s, reap):
            journal.record("killed", program=child.name, pid=pid, after_s=limit_s)
            processes.send([pid], signal.SIGKILL)
            await _gone(lambda: not process.alive(), KILL_LIMIT_S, reap)
    child.forget()


async def kill_descendants(journal: Journal) -> None:
    """End whatever is still below this process. For a supervisor only: all that is below it belongs to its node."""
    rest = processes.descendants_apart_from()
    if rest:
        journal.record("killed", pids=rest)
        processes.send(rest, signal.SIGKILL)
        await _gone(lambda: not processes.descendants_apart_from(), KILL_LIMIT_S, processes.reap)


async def _gone(condition: Callable[[], bool], limit_s: float, reap: Reap) -> bool:
    until = system.monotonic() + limit_s
    while system.monotonic() < until:
        reap()
        if condition():
            return True
        await asyncio.sleep(_POLL_S)
    return False

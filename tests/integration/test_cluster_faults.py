"""What the cluster makes of deaths: no acknowledged write is lost, and the supervisor acts on proof only."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import outlive
from integration.client.waiting import until
from integration.conftest import RunningCluster
from outlive.client.transaction import Transaction
from outlive.cluster import processes
from outlive.cluster.journal import Journal
from outlive.testing import LocalCluster
from require import require

FAILSAFE = "failsafe mode is enabled and all members are accessible"
LIMIT_S = 120.0
STALLED_S = 1.0
"""Longer than any write takes while a standby confirms it."""


@dataclass
class Load:
    """A writer that follows the primary: what was acknowledged, and when."""

    acknowledged: list[tuple[float, int]] = field(default_factory=list)

    def longest_gap_s(self) -> float:
        """Seconds between two acknowledged writes, at their longest."""
        moments = [at for at, _ in self.acknowledged]
        return max((later - earlier for earlier, later in pairwise(moments)), default=0.0)

    async def grow(self, by: int, within_s: float = LIMIT_S) -> None:
        """Wait until so many more writes are acknowledged."""
        wanted = len(self.acknowledged) + by
        async with asyncio.timeout(within_s):
            while len(self.acknowledged) < wanted:  # noqa: ASYNC110 - the writer is another task, bounded above
                await asyncio.sleep(0.01)


@asynccontextmanager
async def load(dsn: str) -> AsyncIterator[Load]:
    """Write one row after the other until the block ends; then every acknowledged row is looked for."""
    running, written = True, Load()

    async def write(db: outlive.Cluster) -> None:
        number = 0
        while running:
            number += 1
            await db.run(insert, number, idempotent=True)
            written.acknowledged.append((time.monotonic(), number))

    async def insert(tx: Transaction, number: int) -> None:
        await tx.execute("INSERT INTO load VALUES ($1) ON CONFLICT DO NOTHING", number)

    async with outlive.connect(dsn) as db:
        await db.execute("DROP TABLE IF EXISTS load")
        await db.execute("CREATE TABLE load (number bigint PRIMARY KEY)")
        task = asyncio.create_task(write(db))
        try:
            yield written
        finally:
            running = False
            await task
        stored = {row["number"] for row in await db.fetch("SELECT number FROM load", read="strong")}
        assert {number for _, number in written.acknowledged} <= stored


def acts_since(cluster: RunningCluster, node: str, count: int) -> list[dict[str, Any]]:
    """The supervisor's acts after the first `count` ones."""
    return list(Journal(cluster.local.directory.node(node).journal).entries())[count:]


def acts_so_far(cluster: RunningCluster, node: str) -> int:
    """How many acts the node's supervisor has on record."""
    return len(list(Journal(cluster.local.directory.node(node).journal).entries()))


async def hurt(cluster: RunningCluster, fault: Callable[[LocalCluster, str], None]) -> tuple[str, int]:
    """Do `fault` to the primary under load; the node, and how many acts were on record before."""
    async with load(cluster.dsn) as written:
        await written.grow(50)
        node = await cluster.local.primary()
        before = acts_so_far(cluster, node)
        fault(cluster.local, node)
        await written.grow(50)
    sys.stdout.write(f"longest gap between acknowledged writes: {written.longest_gap_s():.2f} s\n")
    return node, before


async def test_a_killed_postmaster_is_told_to_patroni(whole_cluster: RunningCluster) -> None:
    """The primary's postmaster dies: it is reaped, Patroni is woken, another node leads, nothing is lost."""
    node, before = await hurt(whole_cluster, LocalCluster.kill_postgres)

    def acts() -> set[str]:
        return {entry["act"] for entry in acts_since(whole_cluster, node, before)}

    # It was told, or at least called: a Patroni that looked by itself meanwhile may be too busy to answer in time. And
    # the failover may be over before that is written down.
    await until(lambda: bool(acts() & {"patroni-woken", "patroni-not-woken"}), LIMIT_S)
    assert "lease-revoked" not in acts()
    assert await whole_cluster.local.primary() != node


async def test_a_killed_node_gives_up_its_lead_on_proof(whole_cluster: RunningCluster) -> None:
    """Patroni and PostgreSQL die together: the lease is revoked, with the evidence on record, and nothing is lost."""
    node, before = await hurt(whole_cluster, LocalCluster.kill_node)

    def revocations() -> list[dict[str, Any]]:
        return [entry for entry in acts_since(whole_cluster, node, before) if entry["act"] == "lease-revoked"]

    await until(lambda: bool(revocations()), LIMIT_S)  # the failover may be over before it is written down
    revoked = revocations()
    assert len(revoked) == 1
    assert revoked[0]["leader"]["value"] == node
    assert revoked[0]["living_processes"] == []
    assert await whole_cluster.local.primary() != node


async def test_a_killed_patroni_costs_no_failover(whole_cluster: RunningCluster) -> None:
    """Patroni dies alone: it is started again and the same node leads on."""
    node, before = await hurt(whole_cluster, LocalCluster.kill_patroni)
    await whole_cluster.local.start()  # until Patroni answers again: the writes went on before it was started
    acts = [entry["act"] for entry in acts_since(whole_cluster, node, before)]
    assert "patroni-started" in acts
    assert "lease-revoked" not in acts
    assert await whole_cluster.local.primary() == node


async def test_a_dead_host_is_left_to_its_lease(whole_cluster: RunningCluster) -> None:
    """The whole node dies, its supervisor too: nobody else touches the key, the lease runs out, nothing is lost."""
    others_before = {name: acts_so_far(whole_cluster, name) for name in ("n1", "n2", "n3")}
    node, _ = await hurt(whole_cluster, LocalCluster.kill_host)
    for name, before in others_before.items():
        acts = [entry["act"] for entry in acts_since(whole_cluster, name, before)]
        assert "lease-revoked" not in acts
    assert await whole_cluster.local.primary() != node


async def test_a_switchover_loses_nothing(whole_cluster: RunningCluster) -> None:
    """The lead is handed over as planned while writes go on; none fails and none is lost."""
    async with load(whole_cluster.dsn) as written:
        await written.grow(50)
        old = await whole_cluster.local.primary()
        new = await whole_cluster.local.switchover()
        await written.grow(50)
    assert new != old


async def test_without_etcd_the_primary_goes_on(whole_cluster: RunningCluster) -> None:
    """All of etcd stops: Patroni finds its members alive and keeps the primary, and no write fails or is lost."""
    local = whole_cluster.local
    async with load(whole_cluster.dsn) as written:
        await written.grow(50)
        node = await local.primary()
        log = local.directory.node(node).log("patroni")
        said_before = log.read_text().count(FAILSAFE)
        go_on = local.freeze_etcd()
        try:
            await until(lambda: log.read_text().count(FAILSAFE) > said_before, LIMIT_S)
            await written.grow(50)
        finally:
            go_on()
        await written.grow(50)
    assert await local.primary() == node


async def test_a_primary_that_answers_late_is_no_lost_one(whole_cluster: RunningCluster) -> None:
    """A look that gets no answer is not the last one: the primary is found as soon as its node says what it is."""
    local = whole_cluster.local
    node = await local.primary()
    patronis = [pid for name in local.nodes() if (pid := local.processes(name).patroni)]
    processes.send(patronis, signal.SIGSTOP)
    try:
        looking = asyncio.create_task(local.primary())
        await asyncio.sleep(0)  # so that it has asked before the next line does, and has given up before that returns
        silent = await local.facts()
    finally:
        processes.send(patronis, signal.SIGCONT)
    assert silent.primary is None
    assert await looking == node


async def test_one_standby_less_holds_nothing_up(whole_cluster: RunningCluster) -> None:
    """The other one confirms, and nothing acknowledged is lost."""
    async with load(whole_cluster.dsn) as written, frozen_standbys(whole_cluster.local, 1):
        await written.grow(100)


async def test_without_standbys_nothing_is_acknowledged_until_one_is_back(whole_cluster: RunningCluster) -> None:
    """Writes wait while both are gone, go on when they are back, and none of them fails or is lost."""
    async with load(whole_cluster.dsn) as written:
        await written.grow(50)
        async with frozen_standbys(whole_cluster.local, 2):
            await until(lambda: time.monotonic() - written.acknowledged[-1][0] > STALLED_S, LIMIT_S)
        await written.grow(50)
    assert written.longest_gap_s() > STALLED_S


@asynccontextmanager
async def frozen_standbys(local: LocalCluster, count: int) -> AsyncIterator[None]:
    """So many standbys stand still, Patroni and PostgreSQL, until the block ends."""
    primary = await local.primary()
    standbys = [node for node in local.nodes() if node != primary]
    thaws = [local.freeze(node) for node in standbys[:count]]
    try:
        yield
    finally:
        for thaw in thaws:
            thaw()


def test_under_a_first_process_that_reaps_nothing(tmp_path: Path) -> None:
    """In a container whose PID 1 reaps no orphan, a killed postmaster is still seen dead and failed over from."""
    require("namespaces", _can_unshare(), "root, or user namespaces, for a PID namespace of its own")
    program = textwrap.dedent(
        """
        import asyncio, json, sys, time
        from pathlib import Path
        from outlive.testing import LocalCluster

        async def main():
            local = LocalCluster(Path(sys.argv[1]), nodes=2, witnesses=1)
            await local.start()
            try:
                old = await local.primary()
                local.kill_postgres(old)
                until = time.monotonic() + 120
                new = old
                while new == old and time.monotonic() < until:
                    primary = (await local.facts()).primary
                    new = primary.name if primary else old
                    await asyncio.sleep(0.05)
                print(json.dumps({"old": old, "new": new, "pid1": Path("/proc/1/cmdline").read_text()}))
            finally:
                await local.stop()

        asyncio.run(main())
        """
    )
    # PID 1 of the namespace starts the program and waits for it alone; whatever else becomes its child stays a zombie.
    first = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', *sys.argv[1:]]))"
    done = subprocess.run(
        [
            "unshare", *_USER, "--pid", "--fork", "--mount-proc", "--kill-child",
            sys.executable, "-c", first, program, str(tmp_path / "cluster"),
        ],
        check=False, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["old"] != told["new"]
    assert "subprocess.call" in told["pid1"]


_USER = () if os.geteuid() == 0 else ("--user", "--map-current-user")


def _can_unshare() -> bool:
    tried = subprocess.run(
        ["unshare", *_USER, "--pid", "--fork", "--mount-proc", "true"], check=False, capture_output=True, timeout=60
    )
    return tried.returncode == 0

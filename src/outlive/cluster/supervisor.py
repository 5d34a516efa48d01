"""One node's supervisor: starts etcd, Patroni and the archiver, starts them again, and tells what their deaths mean.

The loop is observe -> react (`plan/reactions.py`, where the theory of operation stands) -> apply. It is the parent,
or as subreaper the foster parent, of every process of its node. SIGTERM and SIGINT stop the node; SIGUSR1 stops
PostgreSQL and Patroni but keeps etcd's vote; SIGUSR2 takes that back.

    python -m outlive.cluster.supervisor DIRECTORY NODE
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from outlive import system
from outlive.cluster import lease_keeper, logs, processes, stopping
from outlive.cluster.directory import ClusterDirectory, NodeDirectory
from outlive.cluster.journal import Journal
from outlive.cluster.node_processes import NodeProcesses
from outlive.cluster.node_programs import NodePrograms, write_patroni_yml
from outlive.cluster.plan.reactions import (
    Absent,
    Act,
    Alive,
    Desired,
    EndLeftovers,
    ProcessFacts,
    RevokeLease,
    StartArchiver,
    StartEtcd,
    StartPatroni,
    StopArchiver,
    WakePatroni,
    react,
)
from outlive.cluster.spec import ClusterSpec, NodeSpec, Secrets
from outlive.cluster.state import LOCK_VARIABLE, sign_lock, take_lock
from outlive.errors import ConfigurationError, ControlPlaneError
from outlive.etcd.client import EtcdClient
from outlive.patroni.client import PatroniClient

IDLE_TICK_S = 1.0
ALERT_TICK_S = 0.02
LOG_CHECK_S = 30.0
ETCD_READY_LIMIT_S = 30.0


class Supervisor:
    """Keeps one node as it is desired to be. `run` returns when it was told to stop and nothing is left."""

    def __init__(self, directory: ClusterDirectory, spec: ClusterSpec, secrets: Secrets, node: NodeSpec) -> None:
        self._spec, self._node = spec, node
        self._files = directory.node(node.name)
        self._journal = Journal(self._files.journal)
        self._directory, self._secrets = directory, secrets
        self._spec_read_at = _modified_at(directory)
        self._archiver_outdated = False
        self._running = NodeProcesses(self._programs, self._files, self._journal)
        self._etcd_url = f"http://{node.host}:{node.ports.etcd_client}"
        others = (f"http://{peer.host}:{peer.ports.etcd_client}" for peer in spec.nodes if peer is not node)
        self._etcd_api = EtcdClient([self._etcd_url, *others])
        rest_port = node.ports.rest or 0  # a witness has no Patroni, and nothing ever asks for it
        self._patroni_api = PatroniClient(f"http://{node.host}:{rest_port}", secrets.rest, timeout_s=1.0)
        self._desired = Desired.RUNNING
        self._changed = asyncio.Event()
        self._etcd_ready = node.witness
        self._etcd_awaited_until = system.monotonic() + ETCD_READY_LIMIT_S
        self._crash_told = self._lease_settled = False
        self._logs_checked_at = system.monotonic()

    async def run(self) -> None:
        """Supervise until told to stop."""
        processes.become_subreaper()
        self._listen()
        self._running.adopt()
        self._journal.record("supervisor-started", pid=os.getpid())
        while self._desired is not Desired.STOPPED:
            await self._turn()
            await self._wait()
        running = self._running
        await stopping.stop(
            running.etcd, running.patroni, running.postmaster, running.archiver, self._journal, processes.reap
        )
        await stopping.kill_descendants(self._journal)
        self._files.state.unlink(missing_ok=True)
        self._journal.record("supervisor-stopped", pid=os.getpid())
        await self._etcd_api.close()
        await self._patroni_api.close()

    def _programs(self) -> NodePrograms:
        """As the spec has it now."""
        return NodePrograms(self._spec, self._secrets, self._node, self._files)

    async def _turn(self) -> None:
        self._read_spec_anew()
        facts = self._observe()
        if self._desired is Desired.DRAINED and not isinstance(facts.patroni, Absent):
            await stopping.drain(self._running.patroni, self._running.postmaster, self._journal, processes.reap)
        for act in react(facts):
            await self._apply(act)
        self._running.note(self._desired)
        await self._ask_etcd()
        self._bound_logs()

    # observe

    def _observe(self) -> ProcessFacts:
        self._running.observe()
        if isinstance(self._running.postmaster.liveness, Alive):
            self._crash_told = False
        return ProcessFacts(
            now=system.monotonic(),
            desired=self._desired,
            etcd=self._running.etcd.liveness,
            patroni=self._running.patroni.liveness,
            postmaster=self._running.postmaster.liveness,
            etcd_ready=self._etcd_ready,
            leftovers=self._running.leftovers(),
            witness=self._node.witness,
            all_own=self._running.patroni.own and self._running.postmaster.own,
            crash_told=self._crash_told,
            lease_settled=self._lease_settled,
            archiver=self._running.archiver.liveness,
            archiving=self._spec.archive is not None,
            archiver_outdated=self._archiver_outdated,
        )

    def _read_spec_anew(self) -> None:
        """Take in where WAL is to be archived from now on: the one part of the spec that changes while a node runs."""
        modified_at = _modified_at(self._directory)
        if modified_at == self._spec_read_at or modified_at is None:
            return
        try:
            archive = self._directory.load()[0].archive
        except ConfigurationError:
            return  # just written by root, and not this account's yet: the next turn can read it
        self._spec_read_at = modified_at
        if archive == self._spec.archive:
            return
        self._spec, self._archiver_outdated = replace(self._spec, archive=archive), True
        self._journal.record("archive-changed", url=archive and archive.url)
        if not self._node.witness:
            write_patroni_yml(self._spec, self._secrets, self._node, self._files)
        if self._running.patroni.pid is not None:
            processes.send([self._running.patroni.pid], signal.SIGHUP)

    async def _ask_etcd(self) -> None:
        if not self._etcd_ready:
            late = system.monotonic() > self._etcd_awaited_until
            self._etcd_ready = late or await self._etcd_api.healthy(self._etcd_url)

    # apply

    async def _apply(self, act: Act) -> None:
        match act:
            case StartEtcd():
                self._journal.record("etcd-started", pid=self._running.etcd.start())
            case StartPatroni(after):
                self._journal.record("patroni-started", pid=self._running.patroni.start(), after=after)
                self._lease_settled, self._crash_told = False, True  # it looks for itself as it starts
            case StartArchiver():
                self._archiver_outdated = False
                self._journal.record("archiver-started", pid=self._running.archiver.start())
            case StopArchiver():
                await stopping.stop_archiver(self._running.archiver, self._journal, processes.reap)
                self._archiver_outdated = False
                self._journal.record("archiver-stopped")
            case WakePatroni():
                await self._wake_patroni()
            case RevokeLease():
                await self._give_up_lease()
            case EndLeftovers(pids, kill):
                processes.send(pids, signal.SIGKILL if kill else signal.SIGQUIT)
                self._journal.record("leftovers-ended", pids=pids, kill=kill)
            case _:
                assert_never(act)

    async def _wake_patroni(self) -> None:
        self._crash_told = True
        try:
            await self._patroni_api.wake()
            self._journal.record(
                "patroni-woken", after="the postmaster's death", reaped=self._running.postmaster.pid_seen
            )
        except ControlPlaneError as error:
            self._journal.record("patroni-not-woken", reason=str(error))

    async def _give_up_lease(self) -> None:
        self._lease_settled = True
        prefix = f"{self._spec.namespace.rstrip('/')}/{self._spec.scope}"
        evidence: dict[str, object] = {
            "patroni_dead": self._running.patroni.id and self._running.patroni.id.pid,
            "postmaster_dead": self._running.postmaster.pid_seen,
            "living_processes": self._running.leftovers(),
        }
        await lease_keeper.settle(self._etcd_api, prefix, self._node.name, self._journal, evidence)

    # around the loop

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._changed.set)
        for which, desired in _SIGNALS.items():
            loop.add_signal_handler(which, self._desire, desired)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal may go

    def _desire(self, desired: Desired) -> None:
        if self._desired is not Desired.STOPPED:
            self._desired = desired
        self._changed.set()

    async def _wait(self) -> None:
        programs = (self._running.etcd,) if self._node.witness else (self._running.etcd, self._running.patroni)
        calm = self._etcd_ready and all(isinstance(program.liveness, Alive) for program in programs)
        try:
            await asyncio.wait_for(self._changed.wait(), IDLE_TICK_S if calm else ALERT_TICK_S)
        except TimeoutError:
            return
        finally:
            self._changed.clear()

    def _bound_logs(self) -> None:
        now = system.monotonic()
        if now - self._logs_checked_at > LOG_CHECK_S:
            self._logs_checked_at = now
            for component in ("supervisor", "etcd", "postgres", "archiver"):
                logs.bound(self._files.log(component))


def _modified_at(directory: ClusterDirectory) -> int | None:
    try:
        return directory.spec_file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


_SIGNALS = {
    signal.SIGTERM: Desired.STOPPED,
    signal.SIGINT: Desired.STOPPED,
    signal.SIGUSR1: Desired.DRAINED,
    signal.SIGUSR2: Desired.RUNNING,
}


def supervise(root: Path, name: str) -> None:
    """Supervise the node `name` of the cluster in `root`, in this process, until a signal stops it.

    Raises:
        ConfigurationError: there is no such cluster or node, or another supervisor holds it.
    """
    directory = ClusterDirectory(root)
    spec, secrets = directory.load()
    if name not in {node.name for node in spec.nodes}:
        raise ConfigurationError(f"the cluster in {root} has no node {name!r}")
    files = directory.node(name)
    files.log("supervisor").parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _hold_lock(files, name)
    asyncio.run(Supervisor(directory, spec, secrets, spec.node(name)).run())


def _hold_lock(files: NodeDirectory, name: str) -> None:
    """Keep the lock that this process was started with, or take it."""
    inherited = os.environ.pop(LOCK_VARIABLE, None)
    if inherited is not None:
        os.set_inheritable(int(inherited), False)  # the node's programs must not hold it beyond this process
        return
    lock = take_lock(files.lock)
    if lock is None:
        raise ConfigurationError(f"node {name} has a supervisor already", hint="`outlive status` shows it.")
    sign_lock(lock, os.getpid())


if __name__ == "__main__":
    try:
        supervise(Path(sys.argv[1]), sys.argv[2])
    except ConfigurationError as error:
        sys.exit(f"{error} {error.hint}")

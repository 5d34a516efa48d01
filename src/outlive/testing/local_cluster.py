"""A real cluster on this machine, and the faults that can be done to its nodes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from outlive.cluster import lifecycle, observation, processes, steering
from outlive.cluster.archiving import ArchiveWish
from outlive.cluster.directory import ClusterDirectory
from outlive.cluster.making import Wish
from outlive.cluster.plan.health import ClusterFacts
from outlive.cluster.state import read_state, supervisor_pid
from outlive.errors import ConfigurationError, NoPrimaryError

START_LIMIT_S = 300.0
STOP_LIMIT_S = 300.0
"""Longer than a person waits before a screen: tests run side by side, on machines that are busy with others."""
SWITCHOVER_LIMIT_S = 120.0
PRIMARY_LIMIT_S = 20.0
"""As long as a lease lasts: a primary that was lost has a successor by then."""
FREEZE_ROUNDS = 10
"""How often processes are looked for that were being forked while the others were stopped."""


@dataclass(frozen=True, slots=True)
class NodeProcesses:
    """The pids of one node; `others` are PostgreSQL's further processes and whatever else the node has started."""

    supervisor: int
    etcd: int | None
    patroni: int | None
    postmaster: int | None
    archiver: int | None
    others: tuple[int, ...]


class LocalCluster:
    """A cluster in `directory`, started and stopped as `outlive up` and `outlive down` do.

    Faults name a node (`n1`, `n2` ...), return at once and heal by themselves or through `start`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int | None = None,
        witnesses: int | None = None,
        archive: ArchiveWish | None = None,
    ) -> None:
        self._archive = archive
        self.directory = ClusterDirectory(directory)
        self._wish = Wish(nodes=nodes, witnesses=witnesses)

    async def start(self, report: Callable[[str], None] = lambda _line: None) -> str:
        """Start whatever of it does not run and wait until it is whole; the DSN.

        Raises:
            ConfigurationError: it can't be made or started.
            ControlPlaneError: it did not become whole in time.
        """
        return await lifecycle.up(self.directory, self._wish, report, archive=self._archive, timeout_s=START_LIMIT_S)

    async def stop(self, *, destroy: bool = False) -> None:
        """Stop it; with `destroy`, remove its data too. Nothing to do where there is no cluster."""
        if self.directory.exists():
            await lifecycle.down(self.directory, lambda _line: None, timeout_s=STOP_LIMIT_S)
            if destroy:
                lifecycle.destroy(self.directory)

    def runs(self) -> bool:
        """Whether any of its supervisors lives."""
        if not self.directory.exists():
            return False
        spec, _ = self.directory.load()
        return any(supervisor_pid(files) for _, files in self.directory.nodes(spec))

    def nodes(self) -> tuple[str, ...]:
        """The names of its nodes, witnesses included."""
        spec, _ = self.directory.load()
        return tuple(node.name for node in spec.nodes)

    async def facts(self) -> ClusterFacts:
        """What every node says of itself now."""
        spec, secrets = self.directory.load()
        return await observation.observe(spec, secrets, self.directory)

    async def primary(self) -> str:
        """The name of the node that is the primary now; waits for one, as `PRIMARY_LIMIT_S` says.

        Raises:
            NoPrimaryError: there was none in time, or nothing runs.
        """
        spec, secrets = self.directory.load()
        primary = await observation.find_primary(spec, secrets, self.directory, within_s=PRIMARY_LIMIT_S)
        if primary is None:
            raise NoPrimaryError("the cluster has no primary now")
        return primary.name

    async def switchover(self, to: str | None = None) -> str:
        """Hand the lead over as planned; the new primary's name."""
        return (await steering.switchover(self.directory, to, timeout_s=SWITCHOVER_LIMIT_S)).new

    def processes(self, node: str) -> NodeProcesses:
        """The processes of a node now.

        Raises:
            ConfigurationError: its supervisor doesn't run.
        """
        files = self.directory.node(node)
        supervisor, state = supervisor_pid(files), read_state(files)
        if supervisor is None or state is None:
            raise ConfigurationError(f"node {node} does not run")
        etcd = state.etcd.pid if state.etcd else None
        patroni = state.patroni.pid if state.patroni else None
        postmaster = processes.postmaster_pid(files.data)
        archiver = state.archiver.pid if state.archiver else None
        named = {etcd, patroni, postmaster, archiver}
        others = tuple(sorted(processes.descendants(supervisor) - named))
        return NodeProcesses(supervisor, etcd, patroni, postmaster, archiver, others)

    def kill_postgres(self, node: str) -> None:
        """SIGKILL the postmaster; its backends notice and end."""
        _signal(signal.SIGKILL, self.processes(node).postmaster)

    def kill_patroni(self, node: str) -> None:
        """SIGKILL Patroni alone."""
        _signal(signal.SIGKILL, self.processes(node).patroni)

    def kill_node(self, node: str) -> None:
        """SIGKILL Patroni, every process of PostgreSQL and the archiver; etcd and the supervisor live on.

        To the supervisor it is one death: however busy the machine, it sees none of them dead while another one lives.
        """
        found = self.processes(node)
        _signal(signal.SIGSTOP, found.supervisor)
        try:
            _signal(signal.SIGKILL, found.patroni, found.postmaster, found.archiver, *found.others)
        finally:
            _signal(signal.SIGCONT, found.supervisor)

    def kill_host(self, node: str) -> None:
        """SIGKILL everything of the node, the supervisor first: only the lease can tell that it is gone."""
        found = self.processes(node)
        named = (found.supervisor, found.patroni, found.postmaster, found.archiver, found.etcd)
        _signal(signal.SIGKILL, *named, *found.others)

    def kill_everything(self) -> None:
        """SIGKILL every process of every node within a moment, those of PostgreSQL first."""
        found = [self.processes(node) for node in self.nodes()]
        _signal(signal.SIGKILL, *(pid for each in found for pid in (each.postmaster, *each.others)))
        named = [(each.supervisor, each.archiver, each.patroni, each.etcd) for each in found]
        _signal(signal.SIGKILL, *(pid for each in named for pid in each))

    def freeze(self, node: str) -> Callable[[], None]:
        """SIGSTOP Patroni and every process of PostgreSQL; returns the call that lets them go on."""
        stopped: list[int] = []
        for _ in range(FREEZE_ROUNDS):
            found = self.processes(node)
            pids = (found.patroni, found.postmaster, *found.others)
            new = [pid for pid in pids if pid is not None and pid not in stopped]
            if not new:
                break
            _signal(signal.SIGSTOP, *new)
            stopped += new
        return lambda: _signal(signal.SIGCONT, *stopped)

    def freeze_etcd(self) -> Callable[[], None]:
        """SIGSTOP etcd of every node; returns the call that lets it go on."""
        stopped = tuple(self.processes(node).etcd for node in self.nodes())
        _signal(signal.SIGSTOP, *stopped)
        return lambda: _signal(signal.SIGCONT, *stopped)


def _signal(which: signal.Signals, *pids: int | None) -> None:
    for pid in pids:
        if pid is not None:
            try:
                os.kill(pid, which)
            except ProcessLookupError:
                continue

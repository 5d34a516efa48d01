"""What runs of one node, as its supervisor sees it."""

from __future__ import annotations

import os
from collections.abc import Callable

from outlive.cluster import processes
from outlive.cluster.children import Child, Postmaster
from outlive.cluster.directory import NodeDirectory
from outlive.cluster.journal import Journal
from outlive.cluster.node_programs import NodePrograms
from outlive.cluster.plan.reactions import Alive, Dead, Desired
from outlive.cluster.state import SupervisorState, read_state, write_state


class NodeProcesses:
    """etcd, Patroni and the archiver, which the supervisor starts, and the postmaster, which Patroni starts.

    `programs` tells how each is started by the spec as it is now.
    """

    def __init__(self, programs: Callable[[], NodePrograms], files: NodeDirectory, journal: Journal) -> None:
        self.etcd = Child("etcd", lambda: programs().start_etcd())
        self.patroni = Child("patroni", lambda: programs().start_patroni())
        self.archiver = Child("archiver", lambda: programs().start_archiver())
        self.postmaster = Postmaster(files.data)
        self._files, self._journal = files, journal
        self._noted: SupervisorState | None = None

    def adopt(self) -> None:
        """Take over what an earlier supervisor left running, so that its death interrupts nothing."""
        left = read_state(self._files)
        for child, process in (
            (self.etcd, left and left.etcd),
            (self.patroni, left and left.patroni),
            (self.archiver, left and left.archiver),
        ):
            if process and process.alive():
                child.adopt(process)
                self._journal.record("adopted", program=child.name, pid=process.pid)

    def observe(self) -> None:
        """See which of them live, and reap the dead."""
        reaped = processes.reap()
        for process in (self.etcd, self.patroni, self.postmaster, self.archiver):
            process.observe(reaped)

    def leftovers(self) -> tuple[int, ...]:
        """Processes of PostgreSQL that outlived both Patroni and the postmaster."""
        if not isinstance(self.patroni.liveness, Dead) or isinstance(self.postmaster.liveness, Alive):
            return ()
        return processes.descendants_apart_from(self.etcd.pid, self.archiver.pid)

    def note(self, desired: Desired) -> None:
        """Write down what runs, for whoever asks or takes over; only what is new is written."""
        state = SupervisorState(
            pid=os.getpid(),
            desired=desired.value,
            etcd=self.etcd.id if self.etcd.pid else None,
            patroni=self.patroni.id if self.patroni.pid else None,
            postmaster=self.postmaster.pid,
            archiver=self.archiver.id if self.archiver.pid else None,
        )
        if state != self._noted:
            write_state(self._files, state)
            self._noted = state

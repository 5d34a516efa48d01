"""Starts the supervisors that don't run, under the account that the cluster belongs to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from outlive.cluster import ports, processes
from outlive.cluster.directory import ClusterDirectory, NodeDirectory
from outlive.cluster.spec import ClusterSpec, NodeSpec
from outlive.cluster.state import LOCK_VARIABLE, is_drained, read_state, sign_lock, supervisor_pid, take_lock
from outlive.errors import ControlPlaneError
from outlive.postgres import identity
from outlive.postgres.plan.identity import Identity

Report = Callable[[str], None]
Started = dict[str, subprocess.Popen[bytes]]


@contextmanager
def start_supervisors(directory: ClusterDirectory, spec: ClusterSpec, report: Report) -> Iterator[Started]:
    """Start those that don't run; they outlive this process, so nobody waits for them afterwards."""
    started: Started = {}
    try:
        _start_missing(directory, spec, started, report)
        yield started
    finally:
        for process in started.values():
            process.returncode = process.poll() or 0


def _start_missing(directory: ClusterDirectory, spec: ClusterSpec, started: Started, report: Report) -> None:
    stopped = [(node, files) for node, files in directory.nodes(spec) if supervisor_pid(files) is None]
    for _, files in directory.nodes(spec):
        pid = supervisor_pid(files)
        if pid is not None and is_drained(files):
            os.kill(pid, signal.SIGUSR2)
    if not stopped:
        return
    ports.require_free(_needed_ports(stopped))
    who = identity.decide(directory.root, spec.postgres_bin)
    identity.own(who, [directory.root, directory.spec_file, directory.secrets_file])
    for node, files in stopped:
        process = _start_supervisor(who, directory, node, files)
        if process is not None:
            started[node.name] = process
    report(f"started {len(stopped)} supervisors: {', '.join(node.name for node, _ in stopped)}")


def _start_supervisor(
    who: Identity, directory: ClusterDirectory, node: NodeSpec, files: NodeDirectory
) -> subprocess.Popen[bytes] | None:
    """Start one; None where another command has just done so.

    The lock is taken here and handed down, so that there is no moment in which it runs unseen.
    """
    logs = files.log("supervisor").parent
    logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.home.chmod(0o700)
    log = files.log("supervisor")
    log.touch(mode=0o600)
    identity.own(who, [files.home, logs, log])
    program = [sys.executable, "-m", "outlive.cluster.supervisor", str(directory.root.absolute()), node.name]
    command, arguments = identity.command(who, program)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PATRONI_", "PG"))}
    lock = take_lock(files.lock)
    if lock is None:
        return None
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=environment | {"PYTHONSAFEPATH": "1", LOCK_VARIABLE: str(lock)},
                start_new_session=True,
                pass_fds=[lock],
                **arguments,
            )
        sign_lock(lock, process.pid)
    finally:
        os.close(lock)
    identity.own(who, [files.lock])
    return process


def _needed_ports(stopped: list[tuple[NodeSpec, NodeDirectory]]) -> Iterator[tuple[str, int]]:
    for node, files in stopped:
        left = read_state(files)
        alive = left and (left.etcd and left.etcd.alive(), left.patroni and left.patroni.alive(), left.postmaster)
        etcd_lives, patroni_lives, _ = alive or (False, False, None)
        postmaster = processes.postmaster_pid(files.data)
        if not etcd_lives:
            yield f"etcd of {node.name}", node.ports.etcd_client
            yield f"etcd of {node.name} (peers)", node.ports.etcd_peer
        if node.ports.rest and not patroni_lives:
            yield f"Patroni of {node.name}", node.ports.rest
        if node.ports.postgres and not (postmaster and processes.serves(postmaster, files.data)):
            yield f"PostgreSQL of {node.name}", node.ports.postgres


def require_alive(directory: ClusterDirectory, started: Started) -> None:
    """Check that the supervisors that were started still run.

    Raises:
        ControlPlaneError: one has ended, with its last words.
    """
    for name, process in started.items():
        if process.poll() is not None:
            log = directory.node(name).log("supervisor")
            lines = log.read_text(errors="replace").strip().splitlines()
            said = lines[-1] if lines else f"exit code {process.returncode}"
            raise ControlPlaneError(f"the supervisor of {name} ended: {said}", hint=f"All it said is in {log}.")

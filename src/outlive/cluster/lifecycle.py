"""`up` and `down`: observe what runs, start or stop what is missing, wait until it is so. Both may be repeated."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from outlive import system
from outlive.cluster import archiving, database, limits, making, observation, reach, starting, stopping
from outlive.cluster.archiving import ArchiveWish
from outlive.cluster.children import Child, Postmaster
from outlive.cluster.directory import ClusterDirectory, NodeDirectory, write_private
from outlive.cluster.journal import Journal
from outlive.cluster.making import Wish
from outlive.cluster.plan.health import ClusterFacts, lacks_only_names, missing, stage
from outlive.cluster.spec import ClusterSpec, Secrets
from outlive.cluster.state import is_drained, read_state, supervisor_pid
from outlive.errors import ConfigurationError, ControlPlaneError
from outlive.model.lsn import Lsn
from outlive.patroni.client import PatroniClient

PRIMARY_LIMIT_S = 5.0
"""How long `down` looks for a primary, which is to be stopped last."""
_POLL_S = 0.1
Report = Callable[[str], None]


async def up(
    directory: ClusterDirectory,
    wish: Wish,
    report: Report,
    *,
    archive: ArchiveWish | None = None,
    timeout_s: float = limits.UP_S,
) -> str:
    """Start what does not run of the cluster, made as wished if there is none, and wait until it is whole.

    `archive` None leaves archiving as it is. Returns the DSN of the application's user.

    Raises:
        ConfigurationError: it can't be made or started; nothing was started.
        ControlPlaneError: it was started and did not become whole within `timeout_s` seconds.
    """
    until = system.monotonic() + timeout_s
    spec, secrets = making.make_or_load(directory, wish)
    with _only_one(directory):
        await _start_over(directory, spec, report)
        changed = archive is not None and archiving.write(directory, archive)
        with starting.start_supervisors(directory, spec, report) as started:
            await _wait_until_whole(directory, spec, secrets, started, report, until)
        made_at = await asyncio.to_thread(database.ensure, spec, secrets)
        if made_at is not None:
            await _wait_until_replayed(directory, spec, secrets, made_at, until)
        if changed:
            await archiving.apply(directory, report, timeout_s=max(1.0, until - system.monotonic()))
        return _publish(directory, spec, secrets)


async def down(directory: ClusterDirectory, report: Report, *, timeout_s: float = limits.DOWN_S) -> None:
    """Stop the cluster: standbys, then the primary, then etcd and the supervisors. No process is left.

    Raises:
        ConfigurationError: there is no cluster.
        ControlPlaneError: something did not stop within `timeout_s` seconds.
    """
    until = system.monotonic() + timeout_s
    spec, secrets = directory.load()
    with _only_one(directory):
        directory.dsn_file.unlink(missing_ok=True)
        found = await observation.find_primary(spec, secrets, directory, within_s=PRIMARY_LIMIT_S)
        primary = found.name if found else None
        standbys = [node.name for node in spec.data_nodes if node.name != primary]
        report("stopping the standbys")
        await _signal_and_wait(directory, standbys, signal.SIGUSR1, is_drained, until)
        report("stopping the primary")
        await _signal_and_wait(directory, [primary] if primary else [], signal.SIGUSR1, is_drained, until)
        report("stopping etcd and the supervisors")
        await _signal_and_wait(directory, [node.name for node in spec.nodes], signal.SIGTERM, _is_gone, until)
        for _, files in directory.nodes(spec):
            await _stop_orphans(files)


def destroy(directory: ClusterDirectory) -> None:
    """Remove the directory of a cluster that is down, with all data.

    Raises:
        ConfigurationError: it is no cluster's directory, or its supervisors run.
    """
    if not directory.exists():
        return
    spec, _ = directory.load()
    running = [node.name for node, files in directory.nodes(spec) if supervisor_pid(files)]
    if running:
        raise ConfigurationError(f"node {running[0]} is running", hint="`outlive down` stops it.")
    shutil.rmtree(directory.root)


async def _start_over(directory: ClusterDirectory, spec: ClusterSpec, report: Report) -> None:
    """A cluster whose first start was cut short may be past mending, and holds nobody's data: make it anew."""
    if directory.made.exists() or any(supervisor_pid(files) for _, files in directory.nodes(spec)):
        return
    for _, files in directory.nodes(spec):
        await _stop_orphans(files)
    aside = directory.set_aside(spec)
    if aside is not None:
        report(f"its first start was cut short, so it is made anew; what was begun lies in {aside}")


async def _wait_until_whole(
    directory: ClusterDirectory,
    spec: ClusterSpec,
    secrets: Secrets,
    started: starting.Started,
    report: Report,
    until: float,
) -> ClusterFacts:
    lacking: tuple[str, ...] = ()
    while system.monotonic() < until:
        facts = await observation.observe(spec, secrets, directory)
        now_lacking = missing(facts)
        if not now_lacking:
            return facts
        if stage(now_lacking) != stage(lacking):
            report(f"waiting for {stage(now_lacking)}")
        lacking = now_lacking
        starting.require_alive(directory, started)
        await _hurry(spec, secrets, facts, lacking)
        await asyncio.sleep(_POLL_S)
    raise ControlPlaneError(
        f"the cluster in {directory.root} is not whole in time; still missing: {', '.join(lacking)}",
        hint="`outlive logs` shows what its programs say; `outlive up` goes on waiting."
        + ("" if directory.made.exists() else " It has never been whole: `outlive down` and `outlive up` begin anew."),
    )


async def _wait_until_replayed(
    directory: ClusterDirectory, spec: ClusterSpec, secrets: Secrets, lsn: Lsn, until: float
) -> None:
    """A driver may try a standby first, and must find the database there to be told that it is no primary."""
    while system.monotonic() < until:
        facts = await observation.observe(spec, secrets, directory)
        standbys = [node for node in facts.data_nodes if not node.is_primary]
        if all((node.replayed_location or 0) >= lsn for node in standbys):
            return
        await asyncio.sleep(_POLL_S)
    raise ControlPlaneError("a standby has not replayed the making of the database in time")


async def _hurry(spec: ClusterSpec, secrets: Secrets, facts: ClusterFacts, lacking: tuple[str, ...]) -> None:
    """Spare the primary's Patroni a sleep of loop_wait when all that is left is to name its standbys."""
    if lacks_only_names(lacking) and facts.primary:
        node = spec.node(facts.primary.name)
        patroni = PatroniClient(f"http://{node.host}:{node.ports.rest}", secrets.rest, timeout_s=1.0)
        try:
            await patroni.wake()
        except ControlPlaneError:
            return
        finally:
            await patroni.close()


def _publish(directory: ClusterDirectory, spec: ClusterSpec, secrets: Secrets) -> str:
    dsn = reach.dsn(spec, secrets)
    write_private(directory.dsn_file, f"{dsn}\n".encode())
    directory.made.touch(mode=0o600)
    write_private(directory.pgpass, reach.pgpass(spec, secrets).encode())
    return dsn


def _is_gone(files: NodeDirectory) -> bool:
    return supervisor_pid(files) is None


async def _signal_and_wait(
    directory: ClusterDirectory,
    names: list[str],
    which: signal.Signals,
    done: Callable[[NodeDirectory], bool],
    until: float,
) -> None:
    waiting = [directory.node(name) for name in names]
    for files in waiting:
        pid = supervisor_pid(files)
        if pid is not None:
            os.kill(pid, which)
    while waiting := [files for files in waiting if not done(files)]:
        if system.monotonic() > until:
            raise ControlPlaneError(
                f"node {waiting[0].home.name} did not stop in time", hint=f"{waiting[0].journal} tells what it did."
            )
        await asyncio.sleep(_POLL_S)


async def _stop_orphans(files: NodeDirectory) -> None:
    """Stop what a supervisor that was killed left behind."""
    left = read_state(files)
    etcd, patroni, archiver = Child("etcd", _never), Child("patroni", _never), Child("archiver", _never)
    for child, process in (
        (etcd, left and left.etcd),
        (patroni, left and left.patroni),
        (archiver, left and left.archiver),
    ):
        if process and process.alive():
            child.adopt(process)
    postmaster = Postmaster(files.data)
    postmaster.observe(frozenset())
    if etcd.pid or patroni.pid or postmaster.pid or archiver.pid:
        await stopping.stop(etcd, patroni, postmaster, archiver, Journal(files.journal), frozenset)
    files.state.unlink(missing_ok=True)


def _never() -> int:
    raise AssertionError("only stopped, never started")


@contextmanager
def _only_one(directory: ClusterDirectory) -> Iterator[None]:
    """Keep two commands from changing one cluster at the same time."""
    with Path(directory.root / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"another `outlive up` or `down` is at work in {directory.root}", hint="Wait until it has ended."
            ) from None
        yield

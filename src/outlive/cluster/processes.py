"""What the kernel knows of a node's processes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Inherit every orphan below this process, so that it can see and reap all of them.

    Source: prctl(2), PR_SET_CHILD_SUBREAPER.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def reap() -> frozenset[int]:
    """Take the exit status of every child that has ended, and return their pids."""
    pids: set[int] = set()
    while True:  # bounded by the number of children
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return frozenset(pids)
        if pid == 0:
            return frozenset(pids)
        pids.add(pid)


def spawn(command: Sequence[str], *, log: Path, cwd: Path, environment: Mapping[str, str]) -> int:
    """Start a program in a session of its own, its output appended to `log`; returns its pid.

    The status is taken by `reap`, never through the Popen object.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=dict(environment),
            start_new_session=True,
        )
    process.returncode = 0  # keeps Popen from waiting for it when it is collected
    return process.pid


def start_ticks(pid: int) -> int | None:
    """When the process was started, in clock ticks since boot; None if there is none, or only a zombie of it.

    With the pid, this names a process. The time of day would not do: it moves when the clock is set.
    Source: proc_pid_stat(5), fields 3 and 22.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie doesn't."""
    return start_ticks(pid) is not None


def descendants(pid: int) -> frozenset[int]:
    """Every living process below `pid`."""
    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return frozenset()
    return frozenset(process.pid for process in below if is_alive(process.pid))


def descendants_apart_from(*spared: int | None) -> tuple[int, ...]:
    """Every living process below this one, without those `spared` and what is below them."""
    spare = frozenset(pid for each in spared if each is not None for pid in (*descendants(each), each))
    return tuple(sorted(descendants(os.getpid()) - spare))


def send(pids: Iterable[int], which: signal.Signals) -> None:
    """Signal the processes; one that is gone already is as good as signalled."""
    for pid in pids:
        try:
            os.kill(pid, which)
        except ProcessLookupError:
            continue


def postmaster_pid(data: Path) -> int | None:
    """The pid in `postmaster.pid`, alive or not; None where there is no such file."""
    try:
        return int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def serves(pid: int, data: Path) -> bool:
    """Whether the process runs in this data directory, as a postmaster does: a pid alone may be somebody else's."""
    try:
        return is_alive(pid) and Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
    except OSError:
        return False

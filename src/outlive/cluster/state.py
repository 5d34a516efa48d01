"""What a supervisor says of itself: `supervisor.json` in its node's directory, and a lock that only the living hold."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from outlive.cluster.children import ProcessId
from outlive.cluster.directory import NodeDirectory, write_private

LOCK_VARIABLE = "OUTLIVE_LOCK"
"""Names the descriptor of the node's lock in a supervisor that was started with it."""
_LOCK_TRIES = 500
_LOCK_POLL_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorState:
    """The supervisor's pid and its node's processes; `desired` is a value of `plan.reactions.Desired`."""

    pid: int
    desired: str
    etcd: ProcessId | None = None
    patroni: ProcessId | None = None
    postmaster: int | None = None
    archiver: ProcessId | None = None


def write_state(files: NodeDirectory, state: SupervisorState) -> None:
    """Put the state in place."""
    write_private(files.state, msgspec.json.encode(state))


def read_state(files: NodeDirectory) -> SupervisorState | None:
    """The state last written, by a living supervisor or a dead one; None where there is none."""
    try:
        return msgspec.json.decode(files.state.read_bytes(), type=SupervisorState)
    except (OSError, msgspec.MsgspecError):
        return None


def take_lock(path: Path) -> int | None:
    """A descriptor that holds the node's lock until the last process that has it ends. None: it is held already.

    Whoever looks whether it is held, as `supervisor_pid` does, shares it for that moment; such a one is waited for.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(_LOCK_TRIES):
        if _lock(descriptor, fcntl.LOCK_EX):
            return descriptor
        if not _lock(descriptor, fcntl.LOCK_SH):
            break
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(_LOCK_POLL_S)
    os.close(descriptor)
    return None


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sign_lock(descriptor: int, pid: int) -> None:
    """Write down who holds the lock."""
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, str(pid).encode(), 0)


def supervisor_pid(files: NodeDirectory) -> int | None:
    """The pid of the node's living supervisor; None where nobody holds the lock."""
    try:
        descriptor = os.open(files.lock, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).decode()
        return int(text) if text else None
    finally:
        os.close(descriptor)
    return None


def is_drained(files: NodeDirectory) -> bool:
    """Whether neither Patroni nor PostgreSQL is kept running here: drained, or without a supervisor."""
    state = read_state(files)
    return supervisor_pid(files) is None or (state is not None and state.desired == "drained" and not state.patroni)

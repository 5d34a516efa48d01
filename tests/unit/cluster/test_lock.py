"""The lock that tells which supervisor a node has."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from outlive.cluster.directory import NodeDirectory
from outlive.cluster.state import sign_lock, supervisor_pid, take_lock


def test_whoever_looks_keeps_nobody_from_taking_it(tmp_path: Path) -> None:
    """It is shared while one looks: a supervisor that is started at this moment gets it a moment later."""
    path = tmp_path / "supervisor.lock"
    looker = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(looker, fcntl.LOCK_SH)
    with ThreadPoolExecutor() as threads:
        taking = threads.submit(take_lock, path)
        given_up, _ = wait([taking], timeout=0.2)
        assert not given_up, "although nobody holds it"
        os.close(looker)
        taken = taking.result()
    assert taken is not None
    os.close(taken)


def test_one_that_is_held_is_refused(tmp_path: Path) -> None:
    """The living supervisor's pid is told, and nobody else gets the lock."""
    files = NodeDirectory(tmp_path)
    held = take_lock(files.lock)
    assert held is not None
    sign_lock(held, 42)
    assert take_lock(files.lock) is None
    assert supervisor_pid(files) == 42
    os.close(held)
    assert supervisor_pid(files) is None

"""A directory for sockets, locked while the process lives that made it: what killed ones left goes with the next.

It lies in the system's directory for temporary files and has a short name, as a socket's path may have no more than
107 bytes. It gets its name once it is locked, so that whoever finds one that nobody locks has found a dead one's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "outlive-run-"
LOCK = "lock"


@contextmanager
def socket_directory(parent: Path | None = None) -> Iterator[Path]:
    """A directory of this process's own in `parent`, or in the system's, until the block ends."""
    parent = parent or Path(tempfile.gettempdir())
    _clear_left(parent)
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=parent))
    lock = os.open(made / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = made.rename(made.with_name(made.name.removeprefix(".")))
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def _clear_left(parent: Path) -> None:
    for left in parent.glob(f"{PREFIX}*"):
        try:
            # Anybody may put something of such a name there: nothing is followed, waited for or made.
            lock = os.open(left / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # its maker lives
        finally:
            os.close(lock)

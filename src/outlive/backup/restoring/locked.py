"""A directory that is locked while the process lives that made it: one that nobody locks was left by a dead one.

It gets its name once it is locked. Whoever keeps one beyond its process removes the lock's file, and nobody takes it
for left.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "lock"


@contextmanager
def locked_directory(prefix: str, parent: Path) -> Iterator[Path]:
    """A directory of this process's own in `parent`, locked until the block ends, in which it is to be removed."""
    made = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=parent))
    lock = os.open(made / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield made.rename(made.with_name(made.name.removeprefix(".")))
    finally:
        os.close(lock)


def left_directories(prefix: str, parent: Path) -> Generator[Path, None, None]:
    """Those in `parent` whose makers are dead, each locked until the next one is asked for."""
    for left in parent.glob(f"{prefix}*"):
        try:
            # Anybody may put something of such a name there: nothing is followed, waited for or made.
            lock = os.open(left / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # its maker lives
        else:
            yield left
        finally:
            os.close(lock)

"""A directory for sockets, locked while the process lives that made it: what killed ones left goes with the next.

It lies in the system's directory for temporary files and has a short name, as a socket's path may have no more than
107 bytes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outlive.backup.restoring.locked import left_directories, locked_directory

PREFIX = "outlive-run-"


@contextmanager
def socket_directory(parent: Path | None = None) -> Iterator[Path]:
    """A directory of this process's own in `parent`, or in the system's, until the block ends."""
    parent = parent or Path(tempfile.gettempdir())
    for left in left_directories(PREFIX, parent):
        shutil.rmtree(left, ignore_errors=True)
    with locked_directory(PREFIX, parent) as made:
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

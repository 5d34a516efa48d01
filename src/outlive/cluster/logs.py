"""Bounds the log files that the supervisor opened for its programs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LIMIT_BYTES = 10_000_000


def bound(path: Path, limit_bytes: int = LIMIT_BYTES) -> bool:
    """Move what was logged to `path.1` and empty the file once it is over the limit.

    The programs hold the file open for appending, so it is emptied, not replaced; lines that come in between the
    two steps are lost. Returns whether it was done.
    """
    try:
        if path.stat().st_size <= limit_bytes:
            return False
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
    except FileNotFoundError:
        return False
    return True

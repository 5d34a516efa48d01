"""What a demo keeps for its own time: its cluster, its ledger. What a killed demo left goes with the next one."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

from outlive.backup.restoring.locked import left_directories, locked_directory
from outlive.errors import OutliveError
from outlive.testing import LocalCluster

PREFIX = "outlive-demo-"
CLUSTER = "cluster"


def own_directory(what: str = "") -> AbstractContextManager[Path]:
    """A directory of this demo's own, which is to be removed, or its lock, before the block ends."""
    return locked_directory(PREFIX + what, Path(tempfile.gettempdir()))


async def clear_left(say: Callable[[str], None], parent: Path | None = None, uid: int | None = None) -> None:
    """Stop the clusters of this account's killed demos, and remove what they left; what a living one has is locked."""
    uid = os.geteuid() if uid is None else uid
    with closing(left_directories(PREFIX, parent or Path(tempfile.gettempdir()))) as found:
        for left in found:
            if left.lstat().st_uid != uid:
                continue  # what another account wrote there is not to say which processes are to be stopped
            say(f"Removing what a killed demo left in {left}.")
            try:
                await LocalCluster(left / CLUSTER).stop(destroy=True)
            except OutliveError as error:
                say(f"Its cluster can't be stopped: {error}")
            else:
                await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)

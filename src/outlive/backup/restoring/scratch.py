"""A directory for a server that is thrown away."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from outlive.backup.restoring.workspace import HOME, Workspace, claim
from outlive.errors import OutliveError
from outlive.postgres import identity
from outlive.postgres.plan.identity import AsIs

PREFIX = "outlive-scratch-"


@asynccontextmanager
async def scratch_workspace(parent: Path | None, programs: Path) -> AsyncIterator[Workspace]:
    """A directory in `parent`, or in the system's, until the block ends. What killed processes left goes first."""
    parent = parent or Path(tempfile.gettempdir())
    into = await asyncio.to_thread(_make, parent)
    try:
        who = await asyncio.to_thread(identity.decide, into, str(programs))
        with claim(into, who, "scratch") as workspace:
            yield workspace
    finally:
        await asyncio.to_thread(shutil.rmtree, into, ignore_errors=True)


def _make(parent: Path) -> Path:
    parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _clear_left(parent)
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))


def _clear_left(parent: Path) -> None:
    """Remove what killed processes have left; one that lives holds its lock, and one that just begins has none yet."""
    for left in parent.glob(f"{PREFIX}*/{HOME}"):
        try:
            with claim(left.parent, AsIs(), "scratch") as workspace:
                workspace.clear()
            left.parent.rmdir()
        except (OutliveError, OSError):
            continue

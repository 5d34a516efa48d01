"""A backup of a cluster whose primary dies while it is taken: it fails and says why, and nothing half is to be seen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from integration.client.waiting import until
from integration.conftest import RunningCluster
from outlive.backup.catalog import Catalog
from outlive.backup.taking.request import Step
from outlive.cli.backup_view import STEPS
from outlive.errors import BackupError, NoPrimaryError
from outlive.object_storage.opening import open_store

LIMIT_S = 240.0
SLOW_MIB_S = {"primary": "2", "standby": "4"}
"""So that a failover is over before the backup is, on a busy machine too; a reader that is stopped is given up. The one
from a standby goes on to its end."""


def begin(cluster: RunningCluster, store: Path, *more: str) -> subprocess.Popen[str]:
    """`outlive backup create` of the local cluster, into a directory."""
    line = [sys.executable, "-m", "outlive.cli.main", "backup", "create", "--dir", str(cluster.directory), *more]
    environment = {**os.environ, "OUTLIVE_STORAGE": f"file://{store}"}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize(
    ("source", "told"), [("primary", ("went away", "a failover happened")), ("standby", ("a failover happened",))]
)
async def test_the_primarys_death_fails_the_backup_which_says_so(
    whole_cluster: RunningCluster, tmp_path: Path, source: str, told: tuple[str, ...]
) -> None:
    """Taken from it, or from a standby that has to follow another primary then; the next one is taken."""
    local, store = whole_cluster.local, open_store(f"file://{tmp_path}")
    dead = await local.primary()
    command = begin(whole_cluster, tmp_path, "--from", source, "--rate-limit", SLOW_MIB_S[source])
    assert command.stderr is not None
    said = []
    for line in command.stderr:
        said.append(line)
        if STEPS[Step.SEND] in line:
            break

    async def sending() -> bool:
        return bool(await store.unfinished())

    async def led_by_another() -> bool:
        try:
            return await local.primary() != dead
        except NoPrimaryError:
            return False

    await until(sending, LIMIT_S)
    local.kill_node(dead)
    await until(led_by_another, LIMIT_S)
    printed, errors = command.communicate(timeout=LIMIT_S)
    assert command.returncode == BackupError.exit_code, errors
    assert printed == ""
    assert any(each in errors for each in told), errors
    catalog = await Catalog.load(store)
    assert (catalog.backups, catalog.unfinished) == ((), ())
    assert not await store.unfinished()

    await local.start()
    following = begin(whole_cluster, tmp_path)
    _, errors = following.communicate(timeout=LIMIT_S)
    assert following.returncode == 0, errors
    assert len((await Catalog.load(store)).backups) == 1

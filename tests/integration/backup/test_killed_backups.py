"""kill -9 of `outlive backup create` at every step: nothing half is seen, nothing stays that prune can't take."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from conditions import eventually
from integration.backup.one_server import OneServer, newest
from integration.backup.shell import LIMIT_S, Shell
from integration.client.waiting import until
from outlive.backup import pruning
from outlive.backup.catalog import Catalog
from outlive.backup.checking import check
from outlive.backup.plan.retention import Rules
from outlive.backup.taking.request import Step
from outlive.cli.backup_view import STEPS
from outlive.testing.object_store import SeaweedFS

pytestmark = newest
PHYSICAL = (Step.RESERVE, Step.SEND, Step.CHECK, Step.COUNT, Step.PUBLISH)
LOGICAL = (Step.RESERVE, Step.SEND, Step.PUBLISH)
# Slow enough to be met while parts of an upload are on their way.
RATES = {"full": "5", "incremental": "1", "logical": "2"}
ENOUGH = "CREATE TABLE enough AS SELECT g, repeat(md5(g::text), 9) FROM generate_series(1, 30000) g"
OURS = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'outlive-backup')
     + (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'outlive%')
     + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')
"""


@dataclass
class Killing:
    """Backups of one kind that are killed, and what is looked at afterwards."""

    shell: Shell
    server: OneServer
    s3: SeaweedFS
    kind: str

    async def kill_at(self, step: Step) -> None:
        """Begin one, kill it at this step, and see that nothing of it goes on anywhere."""
        slow = ("--rate-limit", RATES[self.kind]) if step is Step.SEND else ()
        command = self.shell.start("create", "--dsn", self.server.dsn, "--from", "primary", "--type", self.kind, *slow)
        self.shell.tell(command, STEPS[step])
        if step is Step.SEND:
            await until(self._uploading, LIMIT_S)
        children = _children(command.pid)
        _kill(command)
        await self._nothing_goes_on(children)

    async def kill_held(self, before: Step) -> None:
        """Kill one whose manifest is on its way to a store that hangs; it may arrive, or not."""
        command = self.shell.start("create", "--dsn", self.server.dsn, "--from", "primary", "--type", self.kind)
        self.shell.tell(command, STEPS[before])
        thaw = self.s3.freeze()
        try:
            if before is not Step.PUBLISH:
                self.shell.tell(command, STEPS[Step.PUBLISH])
            _kill(command)
        finally:
            thaw()
        await self._nothing_goes_on([])

    async def _uploading(self) -> bool:
        return bool(await self.shell.store.unfinished())

    def _store_is_done(self) -> bool:
        """Whether the store has done with whatever the dead had asked for: a manifest that comes late counts, too."""
        ended = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_CLOSE_WAIT]
        return not any(each.laddr and each.laddr.port == self.s3.ports["s3"] for each in ended)

    async def _nothing_goes_on(self, children: list[int]) -> None:
        eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children), within_s=LIMIT_S)

        async def left() -> bool:
            return await self.server.sql(OURS) == 0

        await until(left, LIMIT_S)
        await until(self._store_is_done, LIMIT_S)
        assert (await check(self.shell.store, deep=True)).whole


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for each in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended since
            found += map(int, each.read_text().split())
    return found


def _kill(command: subprocess.Popen[str]) -> None:
    os.kill(command.pid, signal.SIGKILL)
    command.wait(LIMIT_S)
    for pipe in (command.stdout, command.stderr):
        assert pipe is not None
        pipe.close()


@pytest.mark.parametrize(
    ("kind", "steps"), [("full", (Step.CHOOSE, *PHYSICAL)), ("incremental", PHYSICAL), ("logical", LOGICAL)]
)
async def test_killed_at_every_step_there_is_no_half(
    server: OneServer, s3: SeaweedFS, tmp_path: Path, kind: str, steps: tuple[Step, ...]
) -> None:
    """None, or a whole one; no program of it, slot, lock or file; prune takes what was left when it is old enough."""
    await server.sql("DROP TABLE IF EXISTS enough", ENOUGH, "SELECT 1")
    shell = Shell(server, s3, tmp_path)
    if kind == "incremental":
        shell.finish(shell.start("create", "--dsn", server.dsn, "--from", "primary"))
        await server.sql("UPDATE enough SET g = g + 1", "SELECT 1")
    (tmp_path / "temporary").mkdir()
    shell.environment["TMPDIR"] = str(tmp_path / "temporary")
    killing = Killing(shell, server, s3, kind)
    for step in steps:
        await killing.kill_at(step)
    await killing.kill_held(Step.PUBLISH if kind == "logical" else Step.COUNT)
    assert list((tmp_path / "temporary").iterdir()) == []
    left = await Catalog.load(shell.store)
    assert left.unfinished
    assert await shell.store.unfinished()
    said = [each.what for each in (await check(shell.store, deep=False)).findings]
    assert any("never ended" in what for what in said)
    assert shell.run("list", "--json").count('"id"') == len(left.backups)

    young = await pruning.prepare(shell.store, Rules(count=9))
    assert (young.backup_keys, young.uploads) == ((), ())
    await pruning.apply(shell.store, await pruning.prepare(shell.store, Rules(count=9, unfinished_after=timedelta(0))))
    assert (await check(shell.store, deep=True)).findings == ()
    assert not await shell.store.unfinished()
    shell.finish(shell.start("create", "--dsn", server.dsn, "--from", "primary", "--type", kind, "--or-fail"))
    assert len((await Catalog.load(shell.store)).backups) == len(left.backups) + 1

"""`outlive backup` as a process: what it prints, how it ends, interrupted, refused, and two at a time."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from integration.backup.one_server import OneServer, newest
from integration.backup.shell import LIMIT_S, Shell
from outlive.backup.proving import evidence
from outlive.backup.taking.request import Step
from outlive.cli.backup_view import STEPS
from outlive.errors import BackupError
from outlive.testing.object_store import SeaweedFS

pytestmark = newest
POLICY = """
backup_policy:
  full_backup: {schedule: "0 2 * * *", storage: "s3://elsewhere", from: primary, retention_days: 1, retention_count: 1}
"""


@pytest.fixture
def shell(server: OneServer, s3: SeaweedFS, tmp_path: Path) -> Shell:
    """One of them."""
    return Shell(server, s3, tmp_path)


async def test_interrupted_by_a_signal_it_cleans_up(shell: Shell) -> None:
    """SIGTERM, as a supervisor sends it, and SIGINT: status 130, and nothing is left."""
    for which in (signal.SIGTERM, signal.SIGINT):
        command = shell.create(rate="1")
        shell.tell(command, STEPS[Step.SEND])
        command.send_signal(which)
        command.communicate(timeout=LIMIT_S)
        assert command.returncode == 130
        assert [facts.key async for facts in shell.store.list()] == ["repository.json"]


def test_a_backup_is_taken_listed_shown_checked_kept_and_pruned(shell: Shell, tmp_path: Path) -> None:
    """By the commands alone, in JSON and for people; read as the policy says, and kept for so long."""
    policy = tmp_path / "outlive.yaml"
    policy.write_text(POLICY)
    taken = json.loads(shell.finish(shell.create("--json", "--policy", str(policy))))
    backup = taken["id"]
    assert taken["from_role"] == "primary"
    assert [each["id"] for each in json.loads(shell.run("list", "--json"))["backups"]] == [backup]
    assert backup in shell.run("list")
    assert "never restored yet" in shell.run("show")
    assert json.loads(shell.run("check", "--deep", "--json"))["whole"] is True
    assert backup in shell.run("keep", "audit", "--reason", "a case")
    pruned = json.loads(shell.run("prune", "--dry-run", "--policy", str(policy), "--json"))
    assert (pruned["goes"], pruned["removed"]) == ([], False)
    assert "released" in shell.run("keep", "audit", "--release")
    shell.run("show", "20200101T000000Z-full", status=2)
    shell.run("prune", status=2)


def test_a_wrong_key_is_told_at_once(shell: Shell) -> None:
    """What is no key is refused before anything is asked; a store that is encrypted takes nothing in the open."""
    shell.finish(shell.create())
    shell.environment["OUTLIVE_BACKUP_KEY"] = "no key at all"
    command = shell.create()
    _, err = command.communicate(timeout=LIMIT_S)
    assert command.returncode == 2
    assert "no key at all" not in err
    del shell.environment["OUTLIVE_BACKUP_KEY"]
    command = shell.create()
    _, err = command.communicate(timeout=LIMIT_S)
    assert command.returncode == 2
    assert "holds encrypted backups" in err


async def test_two_at_a_time_are_safe(shell: Shell) -> None:
    """As cron may start them: of two backups one is refused and says so; the others all end well, in JSON."""
    first, second = (shell.create("--from", "primary", "--json") for _ in range(2))
    ends = [(command.communicate(timeout=LIMIT_S), command.returncode) for command in (first, second)]
    assert sorted(status for _, status in ends) in ([0, BackupError.exit_code], [0, 0])
    for (out, err), status in ends:
        assert json.loads(out)["id"] if status == 0 else "another backup is being taken" in err
    every = [("check", "--deep"), ("prune", "--count", "1"), ("verify",)]
    running = [shell.start(*arguments, "--json") for arguments in every for _ in range(2)]
    for command in running:
        assert json.loads(shell.finish(command))
    assert json.loads(shell.run("check", "--deep", "--json"))["findings"] == []
    stored = await evidence.read_all(shell.store, json.loads(shell.run("show", "--json"))["id"])
    assert (len(stored), evidence.broken_link(stored)) == (2, None)

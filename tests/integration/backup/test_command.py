"""`outlive backup` as a process: interrupted, refused, and searched for secrets while it runs."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.backup.one_server import PASSWORD, OneServer
from integration.backup.shell import KEY, LIMIT_S, Shell
from outlive.backup.taking.request import Step
from outlive.cli.backup_view import STEPS
from outlive.postgres import programs
from outlive.testing.object_store import SeaweedFS


@pytest.fixture(scope="session")
def release() -> Path:
    """What the commands do doesn't depend on the server's release."""
    return programs.directory(None)


@pytest.fixture
def shell(server: OneServer, s3: SeaweedFS, tmp_path: Path) -> Shell:
    """One of them."""
    return Shell(server, s3, tmp_path)


def _secrets_in_sight(secrets: tuple[str, ...]) -> Iterator[str]:
    """Command lines of this machine that hold one of them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(secret in line for secret in secrets):
            yield line


async def test_no_secret_is_in_sight(shell: Shell, s3: SeaweedFS) -> None:
    """Neither on a command line, nor in what is printed, nor in what lies in the store in the open."""
    secrets = (PASSWORD, KEY, s3.credentials.secret_access_key)
    command = shell.create("--json")
    shell.tell(command, STEPS[Step.SEND])
    seen = list(_secrets_in_sight(secrets))
    out, err = command.communicate(timeout=LIMIT_S)
    assert command.returncode == 0, err
    assert [line for line in seen if "outlive" in line or "pg_basebackup" in line] == []
    stored = [await shell.store.get(facts.key) async for facts in shell.store.list()]
    for secret in secrets:
        assert secret not in out + err
        assert not any(secret.encode() in each for each in stored)
    assert json.loads(out)["key_id"]


async def test_interrupted_by_a_signal_it_cleans_up(shell: Shell) -> None:
    """SIGTERM, as a supervisor sends it, and SIGINT: status 130, and nothing is left."""
    for which in (signal.SIGTERM, signal.SIGINT):
        command = shell.create()
        shell.tell(command, STEPS[Step.SEND])
        command.send_signal(which)
        command.communicate(timeout=LIMIT_S)
        assert command.returncode == 130
        assert [facts.key async for facts in shell.store.list()] == ["repository.json"]


def test_a_backup_is_taken_listed_shown_checked_kept_and_pruned(shell: Shell) -> None:
    """By the commands alone, in JSON and for people."""
    taken, err = (command := shell.create("--json")).communicate(timeout=LIMIT_S)
    assert command.returncode == 0, err
    backup = json.loads(taken)["id"]
    assert [each["id"] for each in json.loads(shell.run("list", "--json"))["backups"]] == [backup]
    assert backup in shell.run("list")
    assert "never restored yet" in shell.run("show")
    assert json.loads(shell.run("check", "--deep", "--json"))["whole"] is True
    assert backup in shell.run("keep", "audit", "--reason", "a case")
    pruned = json.loads(shell.run("prune", "--dry-run", "--count", "1", "--json"))
    assert (pruned["goes"], pruned["removed"]) == ([], False)
    assert "released" in shell.run("keep", "audit", "--release")
    shell.run("show", "20200101T000000Z-full", status=2)
    shell.run("prune", status=2)


def test_a_wrong_key_is_told_at_once(shell: Shell) -> None:
    """What is no key is refused before anything is asked; a store that is encrypted takes nothing in the open."""
    shell.create().communicate(timeout=LIMIT_S)
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

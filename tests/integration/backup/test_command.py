"""`outlive backup` as a process: killed at every step, and searched for secrets while it runs."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from conditions import eventually
from integration.backup.one_server import PASSWORD, OneServer
from outlive.backup import pruning
from outlive.backup.catalog import Catalog
from outlive.backup.checking import check
from outlive.backup.plan.retention import Rules
from outlive.backup.taking.request import Step
from outlive.cli.backup_view import STEPS
from outlive.object_storage.opening import open_store
from outlive.object_storage.store import ObjectStore
from outlive.postgres import programs
from outlive.testing.object_store import SeaweedFS

KEY = base64.b64encode(b"the key of these very backups!!!").decode()
LIMIT_S = 120.0


class Shell:
    """Runs `outlive backup` against one server and one prefix of a store."""

    def __init__(self, server: OneServer, s3: SeaweedFS, home: Path) -> None:
        self._place = ("--storage", s3.url("outlive", uuid4().hex), "--storage-options", str(s3.options_file()))
        self._server = server
        self.store: ObjectStore = open_store(self._place[1], s3.options())
        self.environment = {
            **os.environ, "PGPASSWORD": PASSWORD, "OUTLIVE_BACKUP_KEY": KEY, "OUTLIVE_DIR": str(home / "none"),
        }  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command."""
        line = [sys.executable, "-m", "outlive.cli.main", "backup", *arguments, *self._place]
        return subprocess.Popen(
            line,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            start_new_session=True,
        )

    def create(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a backup that takes a second or more."""
        return self.start("create", "--dsn", self._server.dsn, "--rate-limit", "25", *arguments)

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a command to its end; what it printed."""
        command = self.start(*arguments)
        out, err = command.communicate(timeout=LIMIT_S)
        assert command.returncode == status, err
        return out


@pytest.fixture(scope="session")
def release() -> Path:
    """What the commands do doesn't depend on the server's release."""
    return programs.directory(None)


@pytest.fixture
def shell(server: OneServer, s3: SeaweedFS, tmp_path: Path) -> Shell:
    """One of them."""
    return Shell(server, s3, tmp_path)


def _until(command: subprocess.Popen[str], line: str) -> None:
    """Read what it says until it says this."""
    assert command.stderr is not None
    for said in command.stderr:
        if line in said:
            return
    raise AssertionError(f"it never said {line!r}")


def _secrets_in_sight(secrets: tuple[str, ...]) -> Iterator[str]:
    """Command lines of this machine that hold one of them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(secret in line for secret in secrets):
            yield line


async def test_killed_at_every_step_there_is_no_half(shell: Shell, server: OneServer) -> None:
    """kill -9 of a backup leaves none, or a whole one; no program of it, no lock; and prune tidies the store."""
    for step in Step:
        command = shell.create("--from", "primary")
        _until(command, STEPS[step])
        os.kill(command.pid, signal.SIGKILL)
        command.wait(LIMIT_S)
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        command.stderr.close()
        assert (await check(shell.store, deep=True)).whole
    eventually(lambda: not list(_secrets_in_sight(("--pgdata=- --format=tar",))))
    assert await server.sql("SELECT count(*) FROM pg_replication_slots WHERE temporary AND NOT active") == 0
    _free(shell)
    tidy = await pruning.prepare(shell.store, Rules(count=9, unfinished_after=timedelta(0)))
    await pruning.apply(shell.store, tidy)
    assert (await check(shell.store, deep=True)).findings == ()
    assert len((await Catalog.load(shell.store)).backups) in (1, 2)


def _free(shell: Shell) -> None:
    """The next backup, once the server has noticed that the last one is gone."""

    def taken() -> bool:
        command = shell.create("--from", "primary")
        command.communicate(timeout=LIMIT_S)
        return command.returncode == 0

    eventually(taken, within_s=60)


async def test_no_secret_is_in_sight(shell: Shell, s3: SeaweedFS) -> None:
    """Neither on a command line, nor in what is printed, nor in what lies in the store in the open."""
    secrets = (PASSWORD, KEY, s3.credentials.secret_access_key)
    command = shell.create("--json")
    _until(command, STEPS[Step.SEND])
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
        _until(command, STEPS[Step.SEND])
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

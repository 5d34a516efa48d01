"""Runs `outlive backup` as a process, against one server and one prefix of a store."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from integration.backup.one_server import PASSWORD, OneServer
from outlive.object_storage.opening import open_store
from outlive.object_storage.store import ObjectStore
from outlive.testing.object_store import SeaweedFS

KEY = base64.b64encode(b"the key of these very backups!!!").decode()
LIMIT_S = 300.0


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
        """Begin an `outlive backup`."""
        return self.outlive("backup", *arguments)

    def outlive(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command that takes a store."""
        line = [sys.executable, "-m", "outlive.cli.main", *arguments, *self._place]
        return subprocess.Popen(
            line,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            start_new_session=True,
        )

    def create(self, *arguments: str, rate: str = "25") -> subprocess.Popen[str]:
        """Begin a backup that takes a second or more; at a `rate` of 1, half a minute."""
        return self.start("create", "--dsn", self._server.dsn, "--rate-limit", rate, *arguments)

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a command to its end; what it printed."""
        return self.finish(self.start(*arguments), status)

    def finish(self, command: subprocess.Popen[str], status: int = 0) -> str:
        """Wait for a command's end; what it printed."""
        out, err = command.communicate(timeout=LIMIT_S)
        assert command.returncode == status, err
        return out

    def tell(self, command: subprocess.Popen[str], line: str) -> None:
        """Read what a command says until it says this."""
        assert command.stderr is not None
        for said in command.stderr:
            if line in said:
                return
        raise AssertionError(f"it never said {line!r}")

"""What the commands about backups say of a store that holds nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outlive.cli.app import app


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("backup", "list"), 0, ""),
        (("backup", "show"), 2, "there is no backup yet"),
        (("backup", "check"), 0, ""),
        (("backup", "verify"), 2, "holds no backups"),
        (("backup", "prune", "--days", "3"), 2, "holds no backups"),
        (("backup", "prune"), 2, "nothing says how long"),
        (("backup", "keep", "audit"), 2, "there is no backup yet"),
        (("restore", "--into", "data"), 2, "holds no backups"),
        (("wal", "status"), 2, "holds no backups"),
        (("wal", "check"), 2, "holds no backups"),
    ],
)
def test_of_an_empty_store_each_says_so(tmp_path: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
    """With the exit code of its error, and nothing on stdout that a program could take for a result."""
    place = ("--storage", f"file://{tmp_path}/store", "--dir", str(tmp_path / "none"))
    done = CliRunner().invoke(app, [*arguments, *place, "--json"])
    assert done.exit_code == status
    assert said in done.stderr
    assert json.loads(done.stdout) if status == 0 else done.stdout == ""
    assert list(tmp_path.iterdir()) == []

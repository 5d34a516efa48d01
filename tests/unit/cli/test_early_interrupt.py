"""Ctrl-C before the command has begun: it ends with 130, and says nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3] / "pyproject.toml"
LIMIT_S = 60


def door() -> str:
    """A program that enters as the installed command does."""
    module, _, function = tomllib.loads(PROJECT.read_text())["project"]["scripts"]["outlive"].partition(":")
    return f"import sys; sys.argv = ['outlive', 'state', 'list']; from {module} import {function}; {function}()"


@pytest.mark.parametrize("module", ["asyncio", "asyncpg", "outlive.errors", "outlive.client.cluster", "typer.models"])
def test_it_ends_without_a_word(module: str) -> None:
    """While the package is brought in, and while the command's own modules are."""
    line = [sys.executable, "-X", "importtime", "-c", door()]
    with subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for told in process.stderr:
            if told.rpartition("|")[2].strip() == module:
                break
        process.send_signal(signal.SIGINT)
        output, rest = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert output == ""
    assert [told for told in rest.splitlines() if not told.startswith("import time:")] == []

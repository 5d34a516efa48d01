"""Ctrl-C before the command has begun: it ends with 130, and says nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3] / "pyproject.toml"
LIMIT_S = 120


INTERRUPTED = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, *_):
        if name == {at!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
sys.argv = ["outlive", "state", "list"]
from {module} import {function}
{function}()
"""


def door(at: str) -> str:
    """A program that enters as the installed command does, and is interrupted where the module `at` is looked for.

    By itself: whoever has to be told first that it has come there may be late, and find the command at its end.
    """
    module, _, function = tomllib.loads(PROJECT.read_text())["project"]["scripts"]["outlive"].partition(":")
    return INTERRUPTED.format(at=at, module=module, function=function)


@pytest.mark.parametrize("module", ["asyncio", "asyncpg", "outlive.errors", "outlive.client.cluster", "typer.models"])
def test_it_ends_without_a_word(module: str) -> None:
    """While the package is brought in, and while the command's own modules are."""
    line = [sys.executable, "-c", door(module)]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 130
    assert (done.stdout, done.stderr) == ("", "")

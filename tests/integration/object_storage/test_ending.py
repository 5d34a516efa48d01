"""A program that used an object store ends as it means to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("ending_program.py")


@pytest.mark.parametrize(("how", "code"), [("closed", 0), ("open", 0), ("failed", 7)])
def test_the_driver_s_threads_are_let_out_before_the_program_ends(how: str, code: int) -> None:
    """The process isn't aborted while a thread of the driver is in Python, store closed or not, and says nothing."""
    done = subprocess.run([sys.executable, PROGRAM, how], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, "")

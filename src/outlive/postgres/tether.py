"""Lets a program end with the process that started it, even one that is killed."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence

PROBE_LIMIT_S = 10.0


def tethered(program: Sequence[str], signal_name: str) -> list[str]:
    """The command line with which a program gets the signal, `QUIT` say, when the thread that started it is gone.

    It is to become the last part of the line: what changes the account comes before it, as that unties the tether.
    Where the machine has no means for it (Linux with util-linux has), the program's own line.
    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    setpriv = _setpriv()
    return [setpriv, "--pdeathsig", signal_name, "--", *program] if setpriv else list(program)


@functools.cache
def _setpriv() -> str | None:
    found = shutil.which("setpriv")
    if found is None:
        return None
    try:
        tried = subprocess.run(
            [found, "--pdeathsig", "TERM", "--", found, "--version"], check=False, capture_output=True,
            timeout=PROBE_LIMIT_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found if tried.returncode == 0 else None

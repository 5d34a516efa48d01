"""PostgreSQL's `archive_command`: the tiny client, and the name of the socket on which the node's archiver answers.

The name is derived from the node's directory, so that two clusters on one machine never meet; it lies in the abstract
namespace, whose names may be longer than any path and leave no file behind.
"""

from __future__ import annotations

import hashlib
import shlex


def socket_name(home: str) -> str:
    """The archiver's socket of the node whose files lie in `home`."""
    return f"outlive-archiver-{hashlib.sha256(home.encode()).hexdigest()[:20]}"


def render(python: str, client: str, home: str) -> str:
    """The command; `exec` spares PostgreSQL a shell that waits. It fills in `%f`, so other percent signs double."""
    fixed = shlex.join([python, "-ISs", client, socket_name(home)]).replace("%", "%%")
    return f"exec {fixed} %f"

"""What a data directory says of the server that runs in it."""

from __future__ import annotations

from pathlib import Path

READY = "ready"
_STATUS_LINE = 7


def running_pid(data: Path) -> int | None:
    """The pid of the server that runs in this directory; None if none does.

    A pid alone may be somebody else's by now: a server's working directory is its data directory. Where that can't be
    seen, as another account's processes can't, a living process counts.
    """
    lines = _lines(data)
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    try:
        if (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
            return None
        return pid if Path(f"/proc/{pid}/cwd").readlink() == data.resolve() else None
    except PermissionError:
        return pid
    except (OSError, IndexError):
        return None


def runs(data: Path) -> bool:
    """Whether a server runs in this directory."""
    return running_pid(data) is not None


def status(data: Path) -> str:
    """What the server says of itself: `starting`, `standby`, `ready`, `stopping`; empty where it says nothing.

    Source: PostgreSQL miscadmin.h, LOCK_FILE_LINE_PM_STATUS.
    """
    lines = _lines(data)
    return lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else ""


def _lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []

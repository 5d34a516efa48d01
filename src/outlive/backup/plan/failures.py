"""Why a server in recovery gave up, told from what it wrote into its log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_SERIOUS = re.compile(r"\b(?:FATAL|PANIC):\s+(.*)")
FULL_DISK = ("No space left on device", "Disk quota exceeded")
"""How PostgreSQL and its programs say that a disk is full, in the locale C."""
_ENDED_BEFORE = "recovery ended before configured recovery target was reached"


class GaveUp(Enum):
    """The ways in which recovery ends without a server."""

    ENDED_BEFORE_TARGET = "ended-before-target"
    BEFORE_CONSISTENCY = "before-consistency"
    WAL_MISSING = "wal-missing"
    WRONG_TIMELINE = "wrong-timeline"
    DISK_FULL = "disk-full"
    OTHERWISE = "otherwise"


@dataclass(frozen=True, slots=True)
class Failure:
    """In which way it ended, and the server's own words."""

    kind: GaveUp
    words: str


_WORDS = (
    (GaveUp.ENDED_BEFORE_TARGET, (_ENDED_BEFORE,)),
    (GaveUp.BEFORE_CONSISTENCY, ("before consistent recovery point",)),
    (
        GaveUp.WAL_MISSING,
        ("WAL ends before", "could not locate", "could not find redo location", "invalid checkpoint record"),
    ),
    (GaveUp.WRONG_TIMELINE, ("recovery target timeline", "is not a child of", "does not contain minimum")),
)


def read_log(log: str) -> Failure:
    """The last serious complaint in a server's log."""
    said = _SERIOUS.findall(log)
    told = [words for words in said if "startup process" not in words and "shutting down" not in words]
    full = next((line for line in log.splitlines() if any(mark in line for mark in FULL_DISK)), None)
    if full is not None:  # the last complaint is often about what that led to
        return Failure(GaveUp.DISK_FULL, full.rpartition(":  ")[2])
    words = str((told or said or log.strip().splitlines() or ["it said nothing"])[-1])
    for kind, patterns in _WORDS:
        if any(pattern in words for pattern in patterns):
            return Failure(kind, words)
    return Failure(GaveUp.OTHERWISE, words)

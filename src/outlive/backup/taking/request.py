"""What is asked of a backup, and the steps that taking it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from outlive.backup.codec import Codec
from outlive.backup.layout import Kind
from outlive.backup.plan.source import LAG_LIMIT_BYTES, Wanted
from outlive.backup.taking.progress import Progress


class Step(Enum):
    """The steps of a backup, in order; each is announced when it begins, and its duration is in the manifest."""

    CHOOSE = "choose"
    RESERVE = "reserve"
    SEND = "send"
    CHECK = "check"
    COUNT = "count"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A backup to take.

    `wanted` None means: a standby if one is fresh enough, else the primary. `or_full` says what becomes of an
    incremental one that can't be taken: a full one, or a refusal. `programs` is the directory of PostgreSQL's
    programs. `database` is what a logical one dumps.
    """

    kind: Kind
    programs: Path
    codec: Codec
    wanted: Wanted | None = None
    or_full: bool = True
    bytes_per_s: float | None = None
    lag_limit_bytes: int = LAG_LIMIT_BYTES
    fast_checkpoint: bool = True
    count_rows: bool = True
    database: str | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """Who wants to hear how far it is, which step begins, and what else is worth a line."""

    progress: Callable[[Progress], None] = lambda _progress: None
    step: Callable[[Step], None] = lambda _step: None
    note: Callable[[str], None] = lambda _line: None

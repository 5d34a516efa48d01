"""A ledger that a caller kept outside of the database: one JSON object a line."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from outlive.backup.plan.verdict import Operation
from outlive.backup.proving.examination import Ledger
from outlive.errors import ConfigurationError


class _Line(msgspec.Struct, frozen=True):
    id: str
    began_at: datetime
    acknowledged_at: datetime | None = None


def read(file: Path, query: str, database: str) -> Ledger:
    """The ledger in `file`; moments have to name their offset from UTC.

    Raises:
        ConfigurationError: it can't be read, and which line is wrong.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigurationError(f"the ledger {file} can't be read: {error.strerror}") from error
    operations = tuple(_operation(line, file, number) for number, line in enumerate(lines, start=1) if line.strip())
    return Ledger(database=database, query=query, operations=operations)


def _operation(line: bytes, file: Path, number: int) -> Operation:
    try:
        said = msgspec.json.decode(line, type=_Line)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{file}, line {number}: {error}") from error
    if said.began_at.tzinfo is None or (said.acknowledged_at and said.acknowledged_at.tzinfo is None):
        raise ConfigurationError(f"{file}, line {number}: a moment doesn't say in which time zone", hint="Write ...Z.")
    return Operation(said.id, said.began_at, said.acknowledged_at)

"""The ledger: what workers did and were told, kept outside the database that is on trial.

One file a worker process, one line an event, each line one `write` at the end of the file: what was written before a
SIGKILL is in the kernel's hands, and stays. Times are monotonic seconds, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from outlive.errors import OutliveError
from outlive.history import LlmPaid, Operation, ToolExecuted, ToolFinished, TurnAcknowledged
from outlive.system import monotonic


@dataclass(frozen=True, slots=True)
class ConversationCompleted:
    """The database said to a worker that a conversation is complete."""

    conversation: str
    at: float


Entry = Operation | ConversationCompleted


class Ledger:
    """One worker's file, to be written to."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def acknowledged(self, conversation: str, turn: str, position: int, digest: str) -> None:
        """A turn is kept, the database says."""
        self._write("acknowledged", conversation, turn=turn, position=position, digest=digest)

    def executed(self, conversation: str, key: str) -> None:
        """A tool is about to act; to be called before it does."""
        self._write("executed", conversation, key=key)

    def finished(self, conversation: str, key: str, digest: str) -> None:
        """A tool call's result is kept, the database says."""
        self._write("finished", conversation, key=key, digest=digest)

    def paid(self, conversation: str, turn: str, dollars: Decimal) -> None:
        """A model was paid."""
        self._write("paid", conversation, turn=turn, dollars=str(dollars))

    def completed(self, conversation: str) -> None:
        """A conversation is complete, the database says."""
        self._write("completed", conversation)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, event: str, conversation: str, **fields: object) -> None:
        line = json.dumps({"event": event, "conversation": conversation, **fields, "at": monotonic()}) + "\n"
        written = os.write(self._fd, line.encode())
        if written < len(line):
            raise OutliveError("the ledger could not be written: is the disk full?")


class LedgerReader:
    """Reads the files of a directory as they grow."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offsets: dict[Path, int] = {}

    def new_entries(self) -> Iterator[Entry]:
        """What was written since the last call, file by file. The line that a killed process left half is no line."""
        for path in sorted(path for path in self._directory.glob("*.jsonl") if path.is_file()):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                whole, newline, _ = file.read().rpartition(b"\n")
            self._offsets[path] = self._offsets.get(path, 0) + len(whole) + len(newline)
            for line in whole.splitlines():
                yield read_entry(json.loads(line))


def read_entry(fields: dict[str, Any]) -> Entry:
    """The entry of one decoded line."""
    match fields:
        case {"event": "acknowledged", "conversation": conversation, "at": at, **rest}:
            return TurnAcknowledged(conversation, rest["turn"], rest["position"], rest["digest"], at)
        case {"event": "executed", "conversation": conversation, "at": at, **rest}:
            return ToolExecuted(conversation, rest["key"], at)
        case {"event": "finished", "conversation": conversation, "at": at, **rest}:
            return ToolFinished(conversation, rest["key"], rest["digest"], at)
        case {"event": "paid", "conversation": conversation, "at": at, **rest}:
            return LlmPaid(conversation, rest["turn"], Decimal(rest["dollars"]), at)
        case {"event": "completed", "conversation": conversation, "at": at}:
            return ConversationCompleted(conversation, at)
        case _:
            raise OutliveError(f"the ledger holds a line that is none of its own: {fields!r}")

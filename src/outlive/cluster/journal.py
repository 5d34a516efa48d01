"""The supervisor's acts with their evidence: one JSON object a line, bounded to two files of a megabyte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from outlive import system

LIMIT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Journal:
    """Appends to `path`; what is older than the limit lies in `path.1`, and what is older than that is gone."""

    path: Path

    def record(self, act: str, **evidence: Any) -> None:
        """Write one act down, stamped with the present moment."""
        line = msgspec.json.encode({"at": system.now_utc().isoformat(), "act": act, **evidence})
        if self.path.exists() and self.path.stat().st_size + len(line) > LIMIT_BYTES:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        with self.path.open("ab") as file:
            file.write(line + b"\n")

    def entries(self) -> Iterator[dict[str, Any]]:
        """The acts on record in the current file, oldest first; a line cut short by a crash is passed over."""
        if not self.path.exists():
            return
        for line in self.path.read_bytes().splitlines():
            try:
                yield msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue

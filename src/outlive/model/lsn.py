"""Positions in the write-ahead log, and the timelines that they lie on."""

from __future__ import annotations

import re
from typing import NewType

Timeline = NewType("Timeline", int)
"""PostgreSQL's timeline ID: 1 for a new cluster, one more at each promotion."""

_TEXT = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


class Lsn(int):
    """A byte position in the WAL, ordered and subtractable; prints as PostgreSQL's `16/B374D848`.

    Source: PostgreSQL type pg_lsn.
    """

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """Read the form `16/B374D848`.

        Raises:
            ValueError: the text is not an LSN.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"not an LSN: {text!r}")
        return cls(int(match[1], 16) << 32 | int(match[2], 16))

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    __repr__ = __str__

"""How far a session has come, as a text that another process can go on from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from outlive.model.lsn import Lsn, Timeline

_TEXT = re.compile(r"([0-9]{1,20})\.([0-9A-Fa-f]{1,8})\.([0-9A-Fa-f]{1,16})", re.ASCII)


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A place in one cluster's history: whoever has it has all that the session wrote and read.

    Prints as `7461234567890123456.2.3000148`: system identifier in decimal, timeline and LSN in hexadecimal.
    """

    system_identifier: str
    timeline: Timeline
    lsn: Lsn

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote.

        Raises:
            ValueError: the text is not a token.
        """
        match = _TEXT.fullmatch(text)
        if match is None or int(match[2], 16) == 0:
            raise ValueError(f"not a session token: {text!r}")
        return cls(match[1], Timeline(int(match[2], 16)), Lsn(int(match[3], 16)))

    def __str__(self) -> str:
        return f"{self.system_identifier}.{self.timeline:X}.{int(self.lsn):X}"

"""What a statement may leave behind in its session, judged by its text.

A connection serves many callers. Most statements leave nothing in it, and then it is handed on as it is. One that
may have left a setting, a temporary table, a lock, a subscription or a cursor is followed by a reset; one that
leaves what no reset can find, by a new connection.

The judgement errs to the safe side: the words count in a string or a comment too, and a DO block or a CALL may do
anything. What a function does behind a SELECT can't be seen.

Source: PostgreSQL documentation, DISCARD.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache


class Residue(IntEnum):
    """What has to follow a statement before its session serves somebody else."""

    NONE = 0
    RESET = 1
    """A reset finds it all."""
    LASTING = 2
    """Only the end of the session removes it."""


_FIRST = r"(?:^|;)(?:\s|--[^\n]*\n|/\*.*?\*/)*"
_LASTING = re.compile(rf"{_FIRST}(?:load|discard|deallocate)\b", re.IGNORECASE | re.DOTALL)
_RESET = re.compile(
    rf"{_FIRST}(?:set\s+(?!local\b|transaction\b|constraints\b)|reset\b|listen\b|declare\b|prepare\b|do\b|call\b)"
    r"|\b(?:temp|temporary|pg_temp|set_config)\b|_advisory_lock",
    re.IGNORECASE | re.DOTALL,
)

RESET = """
CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_catalog.pg_advisory_unlock_all();
DISCARD TEMP; DISCARD SEQUENCES; DO $$
DECLARE prepared text;
BEGIN
  FOR prepared IN SELECT name FROM pg_catalog.pg_prepared_statements WHERE from_sql LOOP
    EXECUTE 'DEALLOCATE ' || pg_catalog.quote_ident(prepared);
  END LOOP;
END $$
"""


@lru_cache(maxsize=4096)
def residue(sql: str) -> Residue:
    """What this text may leave in the session that executes it."""
    if _LASTING.search(sql):
        return Residue.LASTING
    return Residue.RESET if _RESET.search(sql) else Residue.NONE

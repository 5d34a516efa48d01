"""What a batch may hold: statements, none of which begins or ends the transaction that is the batch's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from outlive.errors import ConfigurationError

Statement = tuple[str, Sequence[object]]

_FIRST_WORD = re.compile(r"[\s;]*(\w*)")
_ENDS = frozenset(
    {"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare", "execute"}
)


def checked(statements: Iterable[str | Statement]) -> list[Statement]:
    """The statements, each with its arguments.

    Raises:
        ConfigurationError: one is not SQL with a sequence of arguments, or ends the transaction itself.
    """
    found = [_checked(number, given) for number, given in enumerate(statements, 1)]
    if not found:
        raise ConfigurationError("a batch can't be empty")
    return found


def _checked(number: int, given: object) -> Statement:
    match given:
        case str():
            sql, args = given, ()  # type: str, Sequence[object]
        case (str() as sql, (list() | tuple()) as args):
            pass
        case _:
            raise ConfigurationError(
                f"statement {number} of the batch can't be {given!r}", hint='Pass "sql", or ("sql", [argument, ...]).'
            )
    if _ends_transaction(sql):
        raise ConfigurationError(f"statement {number} of the batch is {sql!r}: the transaction is the batch's own")
    return sql, args


@lru_cache(maxsize=4096)
def _ends_transaction(sql: str) -> bool:
    first = _FIRST_WORD.match(sql)
    return first is not None and first[1].lower() in _ENDS

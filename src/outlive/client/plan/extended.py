"""Messages that run what a server has prepared, without a word of SQL in them.

Arguments travel apart from any text, so there is nothing to quote; a server neither parses nor plans for them. What
follows one another up to the driver's Sync is one transaction.

Source: PostgreSQL documentation, "Message Formats" (Bind, Execute) and "Pipelining".
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

_SHORT = Struct("!h").pack
_LONG = Struct("!i").pack
_NULL = _LONG(-1)
_TEXT, _BINARY = _SHORT(0), _SHORT(1) + _SHORT(1)
_ROWS_AS_TEXT = _SHORT(0)
_EXECUTE = b"E" + _LONG(9) + b"\0" + _LONG(0)


def execution(name: bytes, arguments: Sequence[bytes | None], *, binary: bool = False) -> bytes:
    """Bind and Execute of the prepared statement `name`; an argument is its text in UTF-8, or its `binary` form."""
    parts = [b"\0", name, b"\0", _BINARY if binary else _TEXT, _SHORT(len(arguments))]
    for argument in arguments:
        if argument is None:
            parts.append(_NULL)
        else:
            parts += (_LONG(len(argument)), argument)
    parts.append(_ROWS_AS_TEXT)
    body = b"".join(parts)
    return b"B" + _LONG(len(body) + 4) + body + _EXECUTE

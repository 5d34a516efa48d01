"""The fences and claims of transactions' first messages, prepared on a connection as they are needed.

Their texts are long and the same until a failover, and the server would parse and plan them for each transaction. So
the first message that has one prepares it, after its BEGIN, and those that follow say EXECUTE. That takes no round
trip. A PREPARE outlasts the roll-back of its transaction; whether it was reached by a message that failed can't be
told, and such a connection is dropped.

Source: PostgreSQL documentation, PREPARE.
"""

from __future__ import annotations

MAX_GUARDS = 16
"""Guards that a connection keeps: a class, a key's table and a synchronous setting each have their own."""


class Guards:
    """What one connection has prepared; `pending` is the text that its present message prepares."""

    __slots__ = ("_made", "_names", "pending")

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._made = 0
        self.pending: str | None = None

    def call(self, text: str, arguments: str) -> str:
        """What runs the statement `text`, with arguments as SQL has them: `(1,2)` or nothing."""
        name = self._names.get(text)
        if name is not None:
            return f"EXECUTE {name}{arguments};"
        self._made += 1
        name = f"outlive_{self._made}"
        oldest = next(iter(self._names)) if len(self._names) >= MAX_GUARDS else None
        forget = f"DEALLOCATE {self._names.pop(oldest)};" if oldest is not None else ""
        self._names[text] = name
        self.pending = text
        return f"{forget}PREPARE {name} AS {text};EXECUTE {name}{arguments};"

    def confirm(self) -> None:
        """The message succeeded."""
        self.pending = None

    def clear(self) -> None:
        """They are gone: the session was reset."""
        self._names.clear()
        self.pending = None

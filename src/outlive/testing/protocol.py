"""Just enough of PostgreSQL's protocol to find a COMMIT, and the answer to it, in what passes by.

The first messages of a connection have no type: a request for encryption, or the startup itself. Every later one is
a type, a length that counts itself, and a body. What is encrypted passes through unread. A COMMIT is found in a
simple query, among other statements too, and in the execution of a portal that was bound to a parsed one. A single
statement that carries its key or its fence commits by itself, and counts as one too. It is found by its words, so a
literal that holds `; commit;` is taken for one.

Source: PostgreSQL documentation, "Message Formats".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ENCRYPTION = frozenset({80877103, 80877104})
_ENDS = re.compile(
    rb"(?:^|;)\s*(?:commit|end)(?:\s+(?:work|transaction))?(?:\s+and\s+(?:no\s+)?chain)?\s*(?:;|$)", re.IGNORECASE
)
_COMMENTS = re.compile(rb"/\*.*?\*/|--[^\n]*", re.DOTALL)
_BY_ITSELF = (b'WITH "outlive claim" AS', b'WITH "outlive fence" AS')
_COMMITTED = (b"COMMIT\0", b"ROLLBACK\0")


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that belong together; `commit` marks a COMMIT among requests, and the answer to it among answers."""

    data: bytes
    commit: bool = False


class Exchange:
    """What one connection says, cut into messages however its bytes arrive."""

    def __init__(self) -> None:
        self._requests = bytearray()
        self._answers = bytearray()
        self._started = False
        self._opaque = False
        self._negotiating = 0
        self._statements: set[bytes] = set()
        self._alone: set[bytes] = set()
        self._portals: set[bytes] = set()
        self._by_itself = False

    def requests(self, data: bytes) -> Iterator[Piece]:
        """The whole messages of the client that `data` completes."""
        self._requests += data
        while message := self._request():
            yield Piece(message, not self._opaque and self._commits(message))

    def answers(self, data: bytes) -> Iterator[Piece]:
        """The whole messages of the server that `data` completes."""
        self._answers += data
        while message := self._answer():
            yield Piece(message, message[:1] == b"C" and (self._by_itself or message[5:] in _COMMITTED))
            self._by_itself &= message[:1] != b"Z"

    def _request(self) -> bytes:
        if not self._started and self._requests and self._requests[0] != 0:
            self._opaque = True
        if self._opaque:
            return _take(self._requests, len(self._requests))
        if self._started:
            return _take(self._requests, _length(self._requests, 1))
        message = _take(self._requests, _length(self._requests, 0))
        if len(message) >= 8:
            asks = int.from_bytes(message[4:8]) in _ENCRYPTION
            self._negotiating += asks
            self._started = not asks
        return message

    def _answer(self) -> bytes:
        if self._opaque:
            return _take(self._answers, len(self._answers))
        if self._negotiating and self._answers:
            self._negotiating -= 1
            self._opaque = self._answers.startswith((b"S", b"G"))
            return _take(self._answers, 1)
        return _take(self._answers, _length(self._answers, 1))

    def _commits(self, message: bytes) -> bool:
        body = message[5:]
        match message[:1]:
            case b"Q":
                return is_commit(body[:-1])
            case b"P":
                name, sql, *_ = body.split(b"\0", 2)
                _mark(self._statements, name, marked=is_commit(sql) or sql.startswith(_BY_ITSELF))
                _mark(self._alone, name, marked=sql.startswith(_BY_ITSELF))
            case b"B":
                portal, statement, *_ = body.split(b"\0", 2)
                _mark(self._portals, portal, marked=statement in self._statements)
                self._by_itself = statement in self._alone
            case b"E":
                return body.partition(b"\0")[0] in self._portals
        return False


def is_commit(sql: bytes) -> bool:
    """Whether a query commits."""
    return _ENDS.search(_COMMENTS.sub(b" ", sql).strip()) is not None


def _mark(names: set[bytes], name: bytes, *, marked: bool) -> None:
    if marked:
        names.add(name)
    else:
        names.discard(name)


def _length(buffer: bytearray, at: int) -> int:
    """The length of the message at the front, whose length field begins at `at`; 0 while that is unknown."""
    return at + max(4, int.from_bytes(buffer[at : at + 4])) if len(buffer) >= at + 4 else 0


def _take(buffer: bytearray, count: int) -> bytes:
    """The first `count` bytes, taken out; none while fewer are there."""
    if not 0 < count <= len(buffer):
        return b""
    taken = bytes(buffer[:count])
    del buffer[:count]
    return taken

"""Ports of this machine that nobody else is given.

A port that was found free and let go may be given to another program before the server that it was meant for has
started, or while that server is down. One that is bound stays away from whoever asks for any port, and from outgoing
connections; as nothing listens on it, a server that is told of it can, and whoever connects meanwhile is refused.
"""

from __future__ import annotations

import socket


class KeptPorts:
    """Ports of 127.0.0.1, kept until they are released; for servers that set SO_REUSEADDR, as they all do."""

    def __init__(self) -> None:
        self._bound: list[socket.socket] = []

    def take(self, count: int) -> list[int]:
        """So many more."""
        return [self._one() for _ in range(count)]

    def release(self) -> None:
        """Let go of all; may be called twice."""
        while self._bound:
            self._bound.pop().close()

    def _one(self) -> int:
        bound = socket.socket()
        self._bound.append(bound)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])

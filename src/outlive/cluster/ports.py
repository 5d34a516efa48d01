"""Free ports on the loopback interface."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from outlive import system
from outlive.errors import ConfigurationError

# Below the range from which Linux takes ports for outgoing connections, so that a kept port stays free.
_RANGE = range(15000, 31000)
_TRIES = 2000


def find(count: int) -> list[int]:
    """`count` different ports on which nothing listens, from a random place on so that clusters keep apart.

    Raises:
        ConfigurationError: there are not that many.
    """
    found: list[int] = []
    start = system.chance.randrange(len(_RANGE))
    for step in range(_TRIES):
        port = _RANGE[(start + step) % len(_RANGE)]
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise ConfigurationError(f"no {count} free ports between {_RANGE[0]} and {_RANGE[-1]}")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def require_free(ports: Iterable[tuple[str, int]]) -> None:
    """Check the ports, given with what each is for.

    Raises:
        ConfigurationError: something listens on one of them.
    """
    for purpose, port in ports:
        if not is_free(port):
            raise ConfigurationError(
                f"port {port}, kept for {purpose}, is in use by another program",
                hint=f"Stop that program (`ss -ltnp 'sport = :{port}'` names it), "
                "or make the cluster anew: `outlive down --destroy`, then `outlive up`.",
            )

"""Where PostgreSQL's archive command asks: an abstract socket, one line in, one line back."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from outlive.errors import ConfigurationError, OutliveError

READ_LIMIT_S = 5.0
LINE_LIMIT_BYTES = 512
Push = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def serve(name: str, push: Push) -> AsyncIterator[None]:
    """Answer `push NAME` with `ok` once `push` has returned, else with the reason, while the block runs.

    Raises:
        ConfigurationError: somebody else holds the name.
    """
    try:
        server = await asyncio.start_unix_server(
            lambda reader, writer: _answer(reader, writer, push), path=f"\0{name}", limit=LINE_LIMIT_BYTES
        )
    except OSError as error:
        raise ConfigurationError(
            f"the archiver's socket {name} can't be opened: {error.strerror}", hint="Does an archiver run already?"
        ) from error
    try:
        yield
    finally:
        server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, push: Push) -> None:
    try:
        if not _trusted(writer):
            return
        line = await asyncio.wait_for(reader.readline(), READ_LIMIT_S)
        writer.write(f"{await _reply(line, push)}\n".encode())
        await asyncio.wait_for(writer.drain(), READ_LIMIT_S)
    except (OSError, TimeoutError, ValueError):
        return  # whoever asked is gone, or was never an archive command: PostgreSQL asks again
    finally:
        writer.close()


async def _reply(line: bytes, push: Push) -> str:
    verb, _, name = line.decode().rstrip("\n").partition(" ")
    if verb != "push" or not line.endswith(b"\n"):
        return "that is no question"
    try:
        await push(name)
    except OutliveError as error:
        return " ".join(f"{error} {error.hint}".split())
    return "ok"


def _trusted(writer: asyncio.StreamWriter) -> bool:
    """Whether this account or root asks: an abstract socket has no permissions."""
    peer: socket.socket = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid in (os.geteuid(), 0)

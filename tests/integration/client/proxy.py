"""A TCP proxy before one server that loses connections at a COMMIT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from random import Random

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Cut(Enum):
    """Where the wire is cut: before the server gets the COMMIT, or after it has answered."""

    BEFORE = "before"
    AFTER = "after"


class Proxy:
    """Forwards to `port`; `cut` decides for each COMMIT what becomes of its connection."""

    def __init__(self, port: int) -> None:
        self.cut: Callable[[], Cut | None] = lambda: None
        self.listens_on = 0
        self.cuts: list[Cut] = []
        self._port = port
        self._carried: list[tuple[asyncio.WriteTransport, asyncio.WriteTransport]] = []

    def cut_some(self, random: Random) -> None:
        """Cut one of two connections, wherever they are in their exchange."""
        for both in [both for both in self._carried if random.random() < 0.5]:
            for transport in both:
                transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it, or it is cut."""
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        answer_is_lost = asyncio.Event()
        carried = (writer.transport, upstream_writer.transport)
        self._carried.append(carried)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, upstream_writer, answer_is_lost))
                group.create_task(self._answers(upstream_reader, writer, answer_is_lost))
        except* ConnectionError:
            pass
        finally:
            self._carried.remove(carried)
            writer.transport.abort()
            upstream_writer.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer_is_lost: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            cut = self.cut() if data == COMMIT else None
            if cut is not None:
                self.cuts.append(cut)
            if cut is Cut.BEFORE:
                raise ConnectionAbortedError
            if cut is Cut.AFTER:
                answer_is_lost.set()
            writer.write(data)
            await writer.drain()
        raise ConnectionAbortedError

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer_is_lost: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if answer_is_lost.is_set():
                raise ConnectionAbortedError
            writer.write(data)
            await writer.drain()
        raise ConnectionAbortedError


@asynccontextmanager
async def proxy_for(port: int) -> AsyncIterator[Proxy]:
    """A proxy before the server on `port`, for as long as the block lasts."""
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.listens_on = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()

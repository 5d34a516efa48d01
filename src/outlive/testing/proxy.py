"""A TCP proxy before one node, which hurts what passes through it.

    async with FaultProxy(5432) as proxy:
        proxy.cut_commit("after", times=1)
        async with outlive.connect(f"postgresql://app@127.0.0.1:{proxy.port}/agents") as db:
            await db.run(transfer, idempotent=True)

It finds a COMMIT only on a connection that is not encrypted: `sslmode=disable`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Literal, Self

from outlive.errors import ConfigurationError
from outlive.system import chance
from outlive.testing.protocol import Exchange, Piece

Where = Literal["before", "after"]
Towards = Literal["server", "client"]

CHUNK_BYTES = 65536
CLOSE_S = 2.0
ACCEPT_TURNS = 5
"""Turns of the event loop; a connection takes three from being accepted to its task."""


@dataclass(slots=True)
class _CommitCut:
    where: Where
    byte: int
    times: int | None
    probability: float


class FaultProxy:
    """Forwards connections to one server from a port of its own on loopback, and does to them what it is told.

    Faults last until `heal`. `cuts` counts the COMMITs that were cut, by where; `round_trips` the times that
    clients spoke after a server had, logins included. `random` decides where a probability is given.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", *, random: Random = chance) -> None:
        self.cuts: Counter[Where] = Counter()
        self.round_trips = 0
        self._target = (host, port)
        self._random = random
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], _Link] = {}
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay_s = 0.0
        self._commit_cuts: list[_CommitCut] = []
        self._drops: dict[Towards, int] = {}

    async def start(self) -> Self:
        """Listen; `port` is known from now on."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def close(self) -> None:
        """Stop listening and cut every connection; may be called twice."""
        server, self._server = self._server, None
        if server is not None:
            await _deaf(server)
            server.close()
        self.heal()
        self.cut()
        if self._links:
            await asyncio.wait(tuple(self._links), timeout=CLOSE_S)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def port(self) -> int:
        """The port that it listens on.

        Raises:
            ConfigurationError: it does not run.
        """
        if self._server is None:
            raise ConfigurationError("the proxy does not run", hint="Use it inside its `async with` block.")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many connections it carries now."""
        return len(self._links)

    def cut_commit(self, where: Where, *, at_byte: int = 0, times: int | None = None, probability: float = 1.0) -> None:
        """Cut connections at their COMMIT, `times` in all, each with `probability`.

        "before": the server gets the first `at_byte` bytes of the COMMIT, none if not said otherwise. "after": the
        server has committed, and the client gets the first `at_byte` bytes of the answer. Calls add up.

        Raises:
            ConfigurationError: a value makes no sense.
        """
        _check("where", where, valid=where in {"before", "after"})
        _check("at_byte", at_byte, valid=at_byte >= 0)
        _check("times", times, valid=times is None or times > 0)
        _check("probability", probability, valid=0 <= probability <= 1)
        self._commit_cuts.append(_CommitCut(where, at_byte, times, probability))

    def drop(self, towards: Towards, *, after_bytes: int = 0) -> None:
        """Cut each connection, new ones too, once `after_bytes` more bytes went `towards` "server" or "client".

        Raises:
            ConfigurationError: a value makes no sense.
        """
        _check("towards", towards, valid=towards in {"server", "client"})
        _check("after_bytes", after_bytes, valid=after_bytes >= 0)
        self._drops[towards] = after_bytes
        for link in self._links.values():
            link.remaining[towards] = after_bytes

    def delay(self, seconds: float) -> None:
        """Make every round trip longer by `seconds`, half of it each way.

        Raises:
            ConfigurationError: it is negative.
        """
        _check("seconds", seconds, valid=seconds >= 0)
        self._delay_s = seconds

    def freeze(self) -> None:
        """Accept connections and forward nothing, as a host does that has stopped."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Forward again, what came meanwhile first."""
        self._flowing.set()

    def cut(self, probability: float = 1.0) -> None:
        """Cut the connections that are open now, wherever they are in their exchange, each with `probability`."""
        for link in tuple(self._links.values()):
            if self._random.random() < probability:
                link.abort()

    def heal(self) -> None:
        """End every fault; connections that were cut stay cut."""
        self._commit_cuts.clear()
        self._drops.clear()
        self._delay_s = 0.0
        for link in self._links.values():
            link.heal()
        self.thaw()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._server is None:
            # It was closed between the connection and this, its task.
            writer.transport.abort()
            return
        self._links[task] = link = _Link(self, reader, writer, dict(self._drops))
        try:
            await link.carry(*self._target)
        except* OSError:
            pass  # cut, or the server can't be reached: its client learns it by the end of the connection
        finally:
            link.abort()
            del self._links[task]

    async def hold(self) -> None:
        """Wait as long as what passes has to wait."""
        if self._delay_s:
            await asyncio.sleep(self._delay_s / 2)
        await self._flowing.wait()

    def judge_commit(self) -> tuple[Where, int] | None:
        """Whether the COMMIT that came just now is cut: where, and after how many bytes."""
        for cut in self._commit_cuts:
            if cut.times != 0 and self._random.random() < cut.probability:
                if cut.times is not None:
                    cut.times -= 1
                self.cuts[cut.where] += 1
                return cut.where, cut.byte
        return None


class _Link:
    """One connection carried; `remaining` holds the bytes that may still pass in a direction."""

    def __init__(
        self,
        proxy: FaultProxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        remaining: dict[Towards, int],
    ) -> None:
        self.remaining = remaining
        self._proxy = proxy
        self._client = (reader, writer)
        self._writers: dict[Towards, asyncio.StreamWriter] = {"client": writer}
        self._exchange = Exchange()
        self._answer_bytes: int | None = None
        self._server_spoke = True

    def abort(self) -> None:
        """Cut both sides at once."""
        for writer in self._writers.values():
            writer.transport.abort()

    def heal(self) -> None:
        """End the faults that it was told of and that have not come yet."""
        self.remaining.clear()
        self._answer_bytes = None

    async def carry(self, host: str, port: int) -> None:
        """Carry bytes both ways until either side ends, or a fault does."""
        await self._proxy.hold()
        reader, self._writers["server"] = await asyncio.open_connection(host, port)
        for writer in self._writers.values():
            writer.transport.set_write_buffer_limits(0)  # so that `drain` means sent
        async with asyncio.TaskGroup() as group:
            group.create_task(self._requests(self._client[0]))
            group.create_task(self._answers(reader))

    async def _requests(self, reader: asyncio.StreamReader) -> None:
        async for data in _chunks(reader):
            self._proxy.round_trips += self._server_spoke
            self._server_spoke = False
            await self._proxy.hold()
            for piece in self._exchange.requests(data):
                await self._request(piece)

    async def _request(self, piece: Piece) -> None:
        cut = self._proxy.judge_commit() if piece.commit else None
        match cut:
            case ("before", byte):
                await self._send("server", piece.data[:byte])
                raise ConnectionAbortedError
            case ("after", byte):
                self._answer_bytes = byte
        await self._send("server", piece.data)

    async def _answers(self, reader: asyncio.StreamReader) -> None:
        answering = False
        async for data in _chunks(reader):
            self._server_spoke = True
            await self._proxy.hold()
            for piece in self._exchange.answers(data):
                answering |= piece.commit
                if answering and self._answer_bytes is not None:
                    await self._answer_in_part(piece.data, self._answer_bytes)
                else:
                    answering = False
                    await self._send("client", piece.data)

    async def _answer_in_part(self, data: bytes, allowed: int) -> None:
        self._answer_bytes = allowed - len(data)
        await self._send("client", data[:allowed])
        if allowed <= len(data):
            raise ConnectionAbortedError

    async def _send(self, towards: Towards, data: bytes) -> None:
        writer = self._writers[towards]
        allowed = self.remaining.get(towards, len(data) + 1)
        if towards in self.remaining:
            # Before anything is waited for: meanwhile it may be told of another fault, or of the end of all.
            self.remaining[towards] = allowed - len(data)
        writer.write(data[:allowed])
        await writer.drain()
        if allowed <= len(data):
            raise ConnectionAbortedError


async def _deaf(server: asyncio.Server) -> None:
    """Accept no more, and let what was accepted come to its task: closed in between, a server drops it unclosed."""
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening.fileno())
    for _ in range(ACCEPT_TURNS):
        await asyncio.sleep(0)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What arrives, until the end, which is the end of both directions."""
    while data := await reader.read(CHUNK_BYTES):
        yield data
    raise ConnectionAbortedError


def _check(name: str, value: object, *, valid: bool) -> None:
    if not valid:
        raise ConfigurationError(f"{name} can't be {value!r}")

"""A connect, or a question of the watch, that is cancelled at whatever moment."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

import pytest

from integration.client.servers import Servers
from integration.client.waiting import LIMIT_S
from outlive.client.dsn import parse
from outlive.client.probe import Probe
from outlive.client.wire import dialer_for

REQUEST_FOR_TLS = 8


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server that is asked for TLS and grants it, and says no more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readexactly(REQUEST_FOR_TLS)
            writer.write(b"S")
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def complaints() -> AsyncIterator[list[str]]:
    """What asyncio has to complain of from now on; what others left behind is told before."""
    gc.collect()
    await asyncio.sleep(0)
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    # The server at the other end, which is reset, may be in this process too.
    loop.set_exception_handler(
        lambda _loop, context: (
            None
            if isinstance(context.get("exception"), ConnectionResetError)
            else complaints.append(f"{context['message']}: {context.get('exception')!r}")
        )
    )
    yield complaints
    loop.set_exception_handler(before)


@pytest.mark.parametrize("sslmode", ["require", "disable"])
async def test_a_cancelled_connect_leaves_no_exception_behind(complaints: list[str], port: int, sslmode: str) -> None:
    """However many turns of the event loop it had, two hundred times: nothing is left for asyncio to complain of."""
    dsn = parse(f"postgresql://app:x@127.0.0.1:{port}/agents?sslmode={sslmode}")
    [address] = dsn.hosts
    for number in range(200):
        connecting = asyncio.create_task(dialer_for(dsn).dial(address, LIMIT_S))
        for _ in range(number % 20):
            await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    del connecting
    gc.collect()
    assert complaints == []


@pytest.mark.usefixtures("complaints")
async def test_a_connect_that_fails_while_it_is_cancelled_is_cancelled() -> None:
    """Whoever ends the watch of a node that is down waits for its task: one that hears of the failure alone goes on."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        dsn = parse(f"postgresql://app:x@127.0.0.1:{server.sockets[0].getsockname()[1]}/agents?sslmode=disable")
        ends: list[tuple[bool, bool]] = []
        left = 20
        while left:  # on a busy machine the end of the connection arrives later: until some came too late to cancel
            turns = len(ends)
            connecting = asyncio.create_task(dialer_for(dsn).dial(dsn.hosts[0], LIMIT_S))
            for _ in range(turns):
                await asyncio.sleep(0)
            taken = connecting.cancel()
            await asyncio.wait([connecting])
            ends.append((taken, connecting.cancelled() or not connecting.exception()))
            left -= not taken
    assert [turns for turns, (taken, cancelled) in enumerate(ends) if taken and not cancelled] == []
    assert ends[0][0]


async def test_a_watch_that_ends_while_it_asks_leaves_no_exception_behind(
    complaints: list[str], servers: Servers
) -> None:
    """The driver would send a CancelRequest over a connection of its own, and leave that in the middle."""
    dsn = parse(servers.dsn(names=("n1",)).replace("sslmode=disable", "sslmode=prefer"))
    for number in range(60):
        probe = Probe(dsn.hosts[0], dialer_for(dsn), LIMIT_S, lambda: 0.0)
        await probe.observe()
        asking = asyncio.create_task(probe.observe())
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        for _ in range(number % 6):
            await asyncio.sleep(0)
        probe.close()
    del asking
    gc.collect()
    assert complaints == []

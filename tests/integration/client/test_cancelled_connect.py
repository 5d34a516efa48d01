"""A connect that is cancelled, at whatever moment."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

import pytest

from outlive.client.dsn import parse
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


@pytest.mark.parametrize("sslmode", ["require", "disable"])
async def test_a_cancelled_connect_leaves_no_exception_behind(port: int, sslmode: str) -> None:
    """However many turns of the event loop it had, two hundred times: nothing is left for asyncio to complain of."""
    complaints: list[str] = []
    # The server at the other end, which is reset, is in this process too.
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: (
            None
            if isinstance(context.get("exception"), ConnectionResetError)
            else complaints.append(f"{context['message']}: {context.get('exception')!r}")
        )
    )
    dsn = parse(f"postgresql://app:x@127.0.0.1:{port}/agents?sslmode={sslmode}")
    [address] = dsn.hosts
    for number in range(200):
        connecting = asyncio.create_task(dialer_for(dsn).dial(address, 5))
        for _ in range(number % 20):
            await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    del connecting
    gc.collect()
    assert complaints == []

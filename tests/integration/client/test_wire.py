"""One connection: cut at once, and watched by the kernel."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import asyncpg
import pytest

from integration.client.servers import Servers
from integration.client.waiting import LIMIT_S
from outlive.client.dsn import parse
from outlive.client.failures import diagnose
from outlive.client.plan.retry import FailureKind, Phase
from outlive.client.wire import DEADLINE_CAME, TCP_USER_TIMEOUT_MS, Dialer, Wire


@pytest.fixture
async def wire(servers: Servers) -> AsyncIterator[Wire]:
    """A connection to the primary."""
    dsn = parse(servers.dsn(names=("n1",)))
    made = await Dialer(dsn, {"application_name": "a wire"}).dial(dsn.hosts[0], LIMIT_S)
    yield made
    made.cut("the test is over")


async def test_whoever_waits_on_a_cut_connection_fails_at_once(wire: Wire) -> None:
    """A cut needs no answer of the server."""
    waiting = asyncio.ensure_future(wire.connection.execute("select pg_sleep(60)"))
    await asyncio.sleep(0)
    wire.cut("the node is dead")
    done, _ = await asyncio.wait([waiting], timeout=20)
    assert done
    assert isinstance(waiting.exception(), asyncpg.PostgresConnectionError | asyncpg.InterfaceError)


@pytest.mark.parametrize(
    "error", [asyncpg.InterfaceError("connection is closed"), AttributeError("'NoneType'"), ConnectionResetError()]
)
async def test_the_drivers_errors_after_a_cut_mean_a_lost_connection(wire: Wire, error: Exception) -> None:
    """The same exceptions on an open connection are the caller's own."""
    assert diagnose(error, Phase.BODY, wire) is None
    wire.cut("the node is dead")
    failure = diagnose(error, Phase.BODY, wire)
    assert failure is not None
    assert (failure.kind, failure.message) == (FailureKind.LOST, "the node is dead")


async def test_a_cut_at_the_deadline_is_told_from_a_loss(wire: Wire) -> None:
    """The deadline is the reason then, and the first reason stays."""
    wire.cut(DEADLINE_CAME)
    wire.cut("the node is dead")
    failure = diagnose(asyncpg.InterfaceError("connection is closed"), Phase.COMMIT, wire)
    assert failure is not None
    assert failure.kind is FailureKind.OVERDUE


async def test_the_kernel_watches_the_peer(wire: Wire) -> None:
    """Keepalive and the user timeout are set, which the driver leaves alone."""
    sock = wire.connection._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == TCP_USER_TIMEOUT_MS

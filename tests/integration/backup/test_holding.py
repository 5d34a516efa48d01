"""The session that a backup holds its server by."""

from __future__ import annotations

import asyncio
import os
import signal

from integration.backup.one_server import OneServer, newest
from outlive.backup.taking.holding import hold

pytestmark = newest
SLOW_S = 0.5


async def test_whoever_comes_next_finds_nothing_of_the_one_before(server: OneServer) -> None:
    """However slowly the server ends a session: its lock and its slot are gone once the block has ended."""
    address = server.access.addresses[0]
    async with hold(server.access, address) as held:
        await held.keep_wal()
        backend = held._connection.get_server_pid()
        os.kill(backend, signal.SIGSTOP)
        asyncio.get_running_loop().call_later(SLOW_S, os.kill, backend, signal.SIGCONT)
    async with hold(server.access, address) as held:
        await held.keep_wal()
        assert held.note is None

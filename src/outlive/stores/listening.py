"""Hearing a channel of NOTIFY on whichever node is the primary."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from outlive.client.cluster import Cluster
from outlive.errors import OutliveError
from outlive.stores.queries import queries

TASKS_CHANNEL = "outlive_tasks"
RING_TIMEOUT_S = 0.5
RECONNECT_S = 0.5
CHECK_S = 10.0
"""How often a silent connection is asked whether it is one still, in seconds."""

_log = logging.getLogger("outlive.stores")


@dataclass(frozen=True, slots=True)
class Bell:
    """Calls `rung` with each notification's payload, and with None when some may have been missed.

    It takes a connection of the client's for itself, if one can be spared. Whoever waits for it must bound the wait: a
    notification can be lost with the connection that was to bring it, and a pooler in transaction mode brings none.
    """

    db: Cluster
    channel: str
    rung: Callable[[str | None], object]

    async def run(self) -> None:
        """Listen until cancelled, on the new primary whenever there is one."""
        if not self.db.can_listen:
            return
        while True:
            try:
                await self._listen()
            except (
                OutliveError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
                OSError,
                TimeoutError,
            ) as error:
                _log.info("not listening for a moment: %s", error)
                await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        lost = asyncio.Event()

        def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            self.rung(str(payload))

        async with self.db.connection() as connection:
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(self.channel, heard)
            self.rung(None)  # of what was said before, nothing was heard
            while not (connection.is_closed() or await _set_within(lost, CHECK_S)):
                await connection.execute("SELECT 1", timeout=CHECK_S)


async def ring(db: Cluster, queues_of_tasks: Iterable[str]) -> None:
    """Wake the workers that wait for tasks of these queues; if that fails, they look by themselves soon.

    A transaction of its own: PostgreSQL lets transactions that notify commit one by one only, and one that waits for a
    standby meanwhile would make all others wait.
    """
    with suppress(OutliveError):
        named = sorted(set(queues_of_tasks))
        await db.fetchrow(queries("tasks")["ring"], named, read="strong", timeout=RING_TIMEOUT_S)


async def _set_within(event: asyncio.Event, limit_s: float) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            return await event.wait()
    except TimeoutError:
        return False

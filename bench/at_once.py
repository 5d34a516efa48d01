"""A driver without a server, which answers in the event loop's next turn: what is left is the client's own Python."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TypeVar

import asyncpg

import outlive
from outlive.client.plan.synchronous import Synchronous
from outlive.client.plan.topology import Observation
from outlive.client.wire import Wire
from outlive.model.lsn import Lsn, Timeline
from outlive.model.topology import Address, NodeFacts, Role
from outlive.system import monotonic

DSN = "postgresql://app:secret@h1,h2,h3/agents"
T = TypeVar("T")


class _Connection:
    """As much of asyncpg's connection as the client uses."""

    _transport = SimpleNamespace(get_extra_info=lambda _name: None)

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def execute(self, sql: str, *_args: object) -> str:
        return await self._next_turn("COMMIT" if sql.endswith("COMMIT") else "INSERT 0 1")

    async def fetchval(self, *_args: object) -> object:
        return await self._next_turn(1)

    async def prepare(self, sql: str) -> object:
        parameters = tuple(asyncpg.Type(25, "text", "scalar", "pg_catalog") for _ in range(sql.count("$")))
        return SimpleNamespace(get_name=lambda: "s", get_parameters=lambda: parameters)

    async def close(self) -> None:
        self._closed = True

    def terminate(self) -> None:
        self._closed = True

    def is_closed(self) -> bool:
        return self._closed

    def is_in_transaction(self) -> bool:
        return False

    def get_settings(self) -> object:
        return self

    def add_log_listener(self, callback: object) -> None:
        pass

    def _next_turn(self, answer: T) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self._loop.create_future()

        def settle() -> None:
            if not future.done():
                future.set_result(answer)

        self._loop.call_soon(settle)
        return future


class _Dialer:
    async def dial(self, address: Address, _timeout_s: float) -> Wire:
        return Wire(address, _Connection())


class _Watch:
    """Says that `h1` is the primary and the others follow it."""

    refusal = None

    def __init__(self, address: Address) -> None:
        self.address = address

    async def observe(self) -> Observation:
        is_primary = self.address.host == "h1"
        role = Role.PRIMARY if is_primary else Role.STANDBY
        facts = NodeFacts(self.address, "1", role, Timeline(1), Lsn(100), 0.0, monotonic(), 0)
        names = ("h2", "h3")
        return Observation(facts, Synchronous("ANY 1 (h2,h3)", names) if is_primary else None, 1)

    async def stop(self) -> None:
        pass


def bare() -> asyncpg.Connection:
    """One connection of it, as a program would use asyncpg's."""
    return _Connection()


@asynccontextmanager
async def connected() -> AsyncIterator[outlive.Cluster]:
    """A client whose every connection is one of it."""
    async with outlive.connect(DSN, topology=_Watch) as db:
        for pool in db._running().pools.values():  # noqa: SLF001 - nobody but this may exchange the driver
            pool._dialer = _Dialer()  # type: ignore[assignment] # noqa: SLF001
        yield db

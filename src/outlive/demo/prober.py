"""A steady writer, whose acknowledgements tell how long writes were held up."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from outlive.client.cluster import Cluster
from outlive.client.transaction import Transaction
from outlive.errors import OutliveError
from outlive.system import monotonic

PERIOD_S = 0.01
"""The pause between two writes, and so how finely the outage is measured."""

LAST_WRITE_S = 1.0


class Prober:
    """Commits one small row after the other, critical like an agent's own, in a table of its own.

    `acknowledged_at` holds the moment (monotonic seconds) at which each commit was acknowledged.
    """

    def __init__(self, db: Cluster, schema: str) -> None:
        self.acknowledged_at: list[float] = []
        self._db = db
        self._schema = schema
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def __aenter__(self) -> Self:
        await self._db.run(_execute, f"CREATE SCHEMA IF NOT EXISTS {self._schema}", idempotent=True)
        table = f"CREATE TABLE IF NOT EXISTS {self._schema}.beats (number bigint PRIMARY KEY)"
        await self._db.run(_execute, table, idempotent=True)
        self._task = asyncio.create_task(self._beat(), name="prober")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        if self._task is not None:
            # A write under way is let through; one that waits for a primary is not waited for.
            await asyncio.wait({self._task}, timeout=LAST_WRITE_S)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=LAST_WRITE_S)
        with suppress(OutliveError):  # what is left behind is an empty schema, and not worth another error
            await self._db.run(_execute, f"DROP SCHEMA IF EXISTS {self._schema} CASCADE", idempotent=True, timeout=5.0)

    async def _beat(self) -> None:
        sql = f"INSERT INTO {self._schema}.beats VALUES ($1) ON CONFLICT DO NOTHING"  # noqa: S608 - our own name
        number = 0
        while not self._stopping:
            number += 1
            with suppress(OutliveError):  # no primary for longer than a write is retried: the gap goes on
                await self._db.run(_execute, sql, number, durability="critical", idempotent=True)
                self.acknowledged_at.append(monotonic())
            await asyncio.sleep(PERIOD_S)


async def _execute(tx: Transaction, sql: str, *args: object) -> None:
    await tx.execute(sql, *args)

"""The reads of a client, each from a node that is fresh enough for it."""

from __future__ import annotations

from typing import Any, TypeVar

import asyncpg

from outlive.client import linearizable as linearizables
from outlive.client import options, statement
from outlive.client.attempts import Attempts
from outlive.client.lifecycle import Lifecycle
from outlive.client.options import DEFAULT_TIMEOUT_S
from outlive.model.freshness import Freshness, FreshnessName

T = TypeVar("T")


class Reading(Lifecycle):
    """A client's reads."""

    async def fetch(
        self,
        sql: str,
        *args: object,
        read: Freshness | FreshnessName = "session",
        linearizable: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> list[asyncpg.Record]:
        """All rows of a query. It is retried freely, so it is for reads, and for what may happen twice.

        `read="session"` sees what this client has written, and nothing older than it has read; `"strong"` asks the
        primary; `outlive.bounded(seconds)` and `"eventual"` a standby that is at most so far, or `max_lag`, behind.
        `linearizable` makes a strong read prove that its node still is the primary: a standby confirms it.

        Raises:
            RetryBudgetExceededError: attempts or time ran out.
            DurabilityNotMetError: it is `linearizable`, and no synchronous standby is in force.
            NoPrimaryError: no standby was fit, and no primary was found in time.
        """
        return await self._read(
            lambda connection: connection.fetch(sql, *args), sql, read, timeout, linearizable=linearizable
        )

    async def fetchrow(
        self,
        sql: str,
        *args: object,
        read: Freshness | FreshnessName = "session",
        linearizable: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> asyncpg.Record | None:
        """The first row of a query, or None. It is retried freely."""
        return await self._read(
            lambda connection: connection.fetchrow(sql, *args), sql, read, timeout, linearizable=linearizable
        )

    async def fetchval(
        self,
        sql: str,
        *args: object,
        read: Freshness | FreshnessName = "session",
        linearizable: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Any:
        """The first column of the first row of a query, or None. It is retried freely."""
        return await self._read(
            lambda connection: connection.fetchval(sql, *args), sql, read, timeout, linearizable=linearizable
        )

    async def _read(
        self, call: statement.Call[T], sql: str, read: Freshness | str, timeout: float, *, linearizable: bool
    ) -> T:
        nodes = self._running()
        attempts = Attempts(nodes.monitor, options.positive("timeout", timeout), idempotent=True)
        freshness = options.freshness(read, linearizable=linearizable)
        if self._tenant is not None:
            call = statement.for_tenant(call, self._tenant)
        if linearizable:
            return await linearizables.read(nodes, attempts, call, sql)
        return await statement.read(nodes, attempts, freshness, call, sql)

"""How the stores speak to the database: each write is one statement in one retried transaction."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from outlive.client import returning
from outlive.client.cluster import Cluster
from outlive.errors import SchemaError
from outlive.model.durability import Durability
from outlive.stores.failures import typed_refusals
from outlive.stores.schema import explained
from outlive.telemetry.hooks import Hooks

T = TypeVar("T")

WRITE_TIMEOUT_S = 60.0
"""How long a write is retried before it is given up: longer than a failover of stock Patroni takes."""


@dataclass(frozen=True, slots=True)
class Statements:
    """The database under a store, how long a call may take in seconds, the durability class of its writes, and who
    listens to what becomes of them."""

    db: Cluster
    timeout_s: float = WRITE_TIMEOUT_S
    durability: Durability = Durability.CRITICAL
    hooks: Hooks = ()

    async def write(self, sql: str, *args: Any) -> asyncpg.Record:
        """Apply one statement that is safe to apply again, and return its row; see `write_all`."""
        rows = await self.write_all(sql, *args)
        assert rows, "every statement of the stores returns a row"
        return rows[0]

    async def write_all(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """Apply one statement that is safe to apply again, and return its rows.

        Of a critical store, a failover can't lose it once this has returned. A lost connection is retried even when
        the commit may have been applied, because every statement of the stores says the same when it is said twice.
        The isolation is read committed: the functions rely on a new snapshot for each of their statements.
        """
        return await self._typed(
            returning.fetch(self.db, sql, *args, durability=self.durability, timeout_s=self.timeout_s)
        )

    def refuse_nesting(self) -> None:
        """Refuse a write inside the function that `db.run` is running: it would not be a part of that transaction.

        Raises:
            ConfigurationError: it is one.
        """
        returning.refuse_nesting(self.db)

    async def apply(self, sql: str, *args: Any) -> None:
        """Apply one statement whose row nobody needs, as `write` does, in one round trip."""
        await self._typed(
            self.db.batch(
                [(sql, args)],
                durability=self.durability,
                isolation="read_committed",
                idempotent=True,
                timeout=self.timeout_s,
            )
        )

    async def read(self, sql: str, *args: Any) -> asyncpg.Record | None:
        """Read one row that shows every acknowledged write."""
        return await self._typed(self.db.fetchrow(sql, *args, read="strong", timeout=self.timeout_s))

    async def read_all(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """Read all rows of a query that bounds them itself; shows every acknowledged write."""
        return await self._typed(self.db.fetch(sql, *args, read="strong", timeout=self.timeout_s))

    async def _typed(self, answer: Awaitable[T]) -> T:
        """The answer, or the product's own error. Which schema there is instead is asked only where a call failed."""
        try:
            with typed_refusals():
                return await answer
        except SchemaError as error:
            raise await explained(self.db, error) from error.__cause__

"""A connection through a pooler in transaction mode: each transaction may reach another session of the server.

The driver sends a statement in two steps, and outside a transaction the second may arrive where the first is not
known. So each single statement gets a transaction of its own here, no statement is prepared by name, and nothing
is asked of or left in a session.

Source: PgBouncer documentation, "Features" (what transaction pooling breaks).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from outlive.client.dsn import Dsn
from outlive.errors import ConfigurationError

# What PgBouncer accepts of a client, or knows to be the driver's own business.
CARRIED = frozenset({"application_name", "client_encoding", "datestyle", "timezone"})


class PoolerConnection(asyncpg.Connection):  # type: ignore[misc]
    """A driver's connection that keeps each statement to one session of the server."""

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        """See asyncpg; without arguments it is one message as it is."""
        if not args:
            return await super().execute(query, *args, **options)  # type: ignore[no-any-return]
        async with _transaction(self):
            return await super().execute(query, *args, **options)  # type: ignore[no-any-return]

    async def executemany(self, command: str, args: Iterable[Sequence[Any]], **options: Any) -> None:
        """See asyncpg."""
        async with _transaction(self):
            await super().executemany(command, args, **options)

    async def fetch(self, query: str, *args: Any, **options: Any) -> list[asyncpg.Record]:
        """See asyncpg."""
        async with _transaction(self):
            return await super().fetch(query, *args, **options)  # type: ignore[no-any-return]

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> asyncpg.Record | None:
        """See asyncpg."""
        async with _transaction(self):
            return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        """See asyncpg."""
        async with _transaction(self):
            return await super().fetchval(query, *args, **options)

    async def reset(self, **_: Any) -> None:
        """Nothing: the session is the pooler's, and serves somebody else by now."""


def check(dsn: Dsn) -> None:
    """Refuse settings that a pooler does not carry to the server.

    Raises:
        ConfigurationError: it names them.
    """
    settings = {key for key, _ in dsn.settings} - CARRIED
    if settings:
        raise ConfigurationError(
            f"a pooler does not carry {', '.join(sorted(settings))}",
            hint="Take it out of the DSN, and set it for the role: alter role ... set ...",
        )


@asynccontextmanager
async def _transaction(connection: asyncpg.Connection) -> AsyncIterator[None]:
    if connection.is_in_transaction():
        yield
        return
    await connection.execute("BEGIN")
    try:
        yield
    except Exception:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")

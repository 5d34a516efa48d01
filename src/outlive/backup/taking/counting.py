"""Counts what a server holds, so that a restored one can be compared with it.

Counted in one snapshot a database, after the backup's end. Where no WAL was written between just before and just after
the snapshot, a server recovered to there holds exactly these rows; a few tries are made to hit such a moment.
"""

from __future__ import annotations

import asyncpg

from outlive.backup.manifest import DatabaseCounts, TableCount
from outlive.errors import UnavailableError
from outlive.model.topology import Address
from outlive.postgres.access import Access, connect

DATABASES_LIMIT = 50
TABLES_LIMIT = 5000
EXACT_BELOW_BYTES = 1024**3
STATEMENT_LIMIT_S = 120.0
TRIES = 3
_DATABASES = "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1 LIMIT $1"
_TABLES = """
SELECT format('%s.%s', n.nspname, c.relname) AS name, format('%I.%I', n.nspname, c.relname) AS quoted,
       pg_table_size(c.oid) AS size_bytes, greatest(c.reltuples, 0)::bigint AS estimate
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1 LIMIT $1
"""
_POSITION = """
SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)::text
"""
_DIGESTS = {
    "conversations": (
        ("outlive.conversations", "outlive.turns"),
        """SELECT md5(coalesce(
               string_agg(md5(c.id || ':' || t.turns || ':' || t.top), '' ORDER BY c.id COLLATE "C"), ''))
           FROM outlive.conversations c CROSS JOIN LATERAL (
               SELECT count(*) AS turns, coalesce(max(position), -1) AS top FROM outlive.turns
               WHERE conversation = c.key) t""",
    ),
}


async def count(
    access: Access, address: Address, exact_below_bytes: int = EXACT_BELOW_BYTES
) -> tuple[DatabaseCounts, ...]:
    """The rows of every table of every database; tables of that size and above by PostgreSQL's own estimate.

    Raises:
        UnavailableError: the server went away, or a count took too long.
    """
    try:
        connection = await connect(access, address)
        try:
            names = [row[0] for row in await connection.fetch(_DATABASES, DATABASES_LIMIT)]
        finally:
            await connection.close()
        return tuple([await _database(access, address, name, exact_below_bytes) for name in names])
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise UnavailableError(f"{address}: its rows can't be counted: {str(error) or type(error).__name__}") from None


async def _database(access: Access, address: Address, name: str, exact_below_bytes: int) -> DatabaseCounts:
    connection = await connect(access, address, name)
    try:
        for _ in range(TRIES):
            counts = await _once(connection, name, exact_below_bytes)
            if counts.lsn == counts.until_lsn:
                break
        return counts
    finally:
        await connection.close()


async def _once(connection: asyncpg.Connection, name: str, exact_below_bytes: int) -> DatabaseCounts:
    before = await position(connection)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await within(connection, name, before, exact_below_bytes)


async def position(connection: asyncpg.Connection) -> str:
    """Where the server's WAL stands: written by a primary, replayed by a standby."""
    return str(await connection.fetchval(_POSITION))


async def within(
    connection: asyncpg.Connection, name: str, before: str, exact_below_bytes: int = EXACT_BELOW_BYTES
) -> DatabaseCounts:
    """The rows in the snapshot of the transaction that is open; `before` is where the WAL stood before it."""
    tables = await connection.fetch(_TABLES, TABLES_LIMIT)
    after = await position(connection)
    counted = {row["name"]: await _table(connection, row, exact_below_bytes) for row in tables}
    digests = {
        digest: await connection.fetchval(query, timeout=STATEMENT_LIMIT_S)
        for digest, (needed, query) in _DIGESTS.items()
        if all(table in counted and counted[table].exact for table in needed)
    }
    return DatabaseCounts(database=name, lsn=before, until_lsn=after, tables=counted, digests=digests)


async def _table(connection: asyncpg.Connection, row: asyncpg.Record, exact_below_bytes: int) -> TableCount:
    if row["size_bytes"] >= exact_below_bytes:
        return TableCount(rows=row["estimate"], exact=False)
    # The name was quoted by the server.
    query = f"SELECT count(*) FROM {row['quoted']}"  # noqa: S608
    return TableCount(rows=await connection.fetchval(query, timeout=STATEMENT_LIMIT_S))

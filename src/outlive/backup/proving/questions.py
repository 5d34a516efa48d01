"""What a restored server is asked: its rows, its references, the rules of the agent's state, a ledger's operations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from importlib.resources import files

import asyncpg

from outlive.backup.manifest import DatabaseCounts
from outlive.backup.plan.verdict import LedgerFacts, Operation
from outlive.backup.restoring.server import PrivateServer
from outlive.backup.taking import counting
from outlive.errors import ConfigurationError
from outlive.stores.queries import named_queries

DATABASES_LIMIT = 50
SHOWN_LIMIT = 5
STATEMENT_LIMIT_S = 600.0
_DATABASES = "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1 LIMIT $1"
_ARE_THERE = "SELECT bool_and(to_regclass(t) IS NOT NULL) FROM unnest($1::text[]) t"
_REFERENCES = """
SELECT format('%s', conname) AS name,
       format('SELECT count(*) FROM %s f WHERE (%s) AND NOT EXISTS (SELECT FROM %s p WHERE %s)', conrelid::regclass,
              (SELECT string_agg(format('f.%I IS NOT NULL', a.attname), ' AND ') FROM unnest(conkey) k
               JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k),
              confrelid::regclass,
              (SELECT string_agg(format('p.%I = f.%I', b.attname, a.attname), ' AND ')
               FROM unnest(conkey, confkey) AS pair (own, other)
               JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = own
               JOIN pg_attribute b ON b.attrelid = confrelid AND b.attnum = other)) AS query
FROM pg_constraint WHERE contype = 'f' AND convalidated AND confmatchtype = 's' AND conparentid = 0
ORDER BY 1
"""


async def count(server: PrivateServer) -> tuple[DatabaseCounts, ...]:
    """The rows of every table of every database."""
    found = []
    for database in await databases(server):
        connection = await server.connect(database)
        try:
            before = await counting.position(connection)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                found.append(await counting.within(connection, database, before))
        finally:
            await connection.close()
    return tuple(found)


async def databases(server: PrivateServer) -> list[str]:
    """The databases that can be connected to."""
    connection = await server.connect()
    try:
        return [row[0] for row in await connection.fetch(_DATABASES, DATABASES_LIMIT)]
    finally:
        await connection.close()


async def complaints(server: PrivateServer, database: str) -> dict[str, list[str]]:
    """What breaks a rule in a database, by the rule's name; a rule that is kept has an empty list."""
    connection = await server.connect(database)
    try:
        return await _broken_rules(connection) | {"references_are_whole": await _broken_references(connection)}
    finally:
        await connection.close()


async def _broken_rules(connection: asyncpg.Connection) -> dict[str, list[str]]:
    found = {}
    for name, query in named_queries(files("outlive.backup").joinpath("sql", "invariants.sql")).items():
        if await _has(connection, re.findall(r"outlive\.\w+", query.partition("\n")[0])):
            rows = await connection.fetch(query, timeout=STATEMENT_LIMIT_S)
            found[name] = [str(row[0]) for row in rows]
    return found


async def _has(connection: asyncpg.Connection, tables: Iterable[str]) -> bool:
    return bool(
        await connection.fetchval("SELECT bool_and(to_regclass(t) IS NOT NULL) FROM unnest($1::text[]) t", [*tables])
    )


async def _broken_references(connection: asyncpg.Connection) -> list[str]:
    found = []
    for name, query in await connection.fetch(_REFERENCES):
        orphans = await connection.fetchval(query, timeout=STATEMENT_LIMIT_S)
        if orphans:
            found.append(f"{orphans} rows refer to nothing by {name}")
    return found[:SHOWN_LIMIT]


async def ledger(
    server: PrivateServer, database: str, query: str, operations: tuple[Operation, ...], until: datetime
) -> LedgerFacts:
    """What the database holds of the operations that a ledger outside of it knows.

    Raises:
        ConfigurationError: the query can't be run.
    """
    connection = await server.connect(database)
    try:
        there = frozenset(str(row[0]) for row in await connection.fetch(query, timeout=STATEMENT_LIMIT_S))
    except asyncpg.PostgresError as error:
        raise ConfigurationError(f"the ledger's query failed: {error}", hint="It has to return one column.") from error
    finally:
        await connection.close()
    return LedgerFacts(operations, there, until)

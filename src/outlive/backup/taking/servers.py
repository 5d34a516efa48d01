"""Asks servers what a backup has to know of them.

A backup needs sessions of its own: a lock and a slot that go with it, a snapshot that another program takes over.
Through a pooler they would stay behind in a session that serves others next, and what PostgreSQL's programs set too.
"""

from __future__ import annotations

import asyncio

import asyncpg

from outlive.backup.plan.source import ServerFacts
from outlive.errors import ConfigurationError, UnavailableError
from outlive.model.lsn import Lsn, Timeline
from outlive.model.topology import Address, Role
from outlive.postgres.access import Access, connect

QUERY_LIMIT_S = 15.0
_FACTS = """
SELECT pg_is_in_recovery() AS standby,
       (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       (CASE WHEN pg_is_in_recovery()
             THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver),
                           (SELECT timeline_id FROM pg_control_checkpoint()))
             ELSE (SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int)
        END) AS timeline,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)::text AS lsn,
       current_setting('server_version_num')::int AS version,
       current_setting('server_version') AS version_text,
       pg_size_bytes(current_setting('wal_segment_size')) AS segment_bytes,
       coalesce(current_setting('summarize_wal', true), 'off') = 'on' AS summarizes_wal,
       array(SELECT spcname::text FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1)
           AS tablespaces,
       (SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database WHERE datallowconn) AS size_bytes
"""


async def observe(access: Access) -> tuple[ServerFacts, ...]:
    """What every server that answers says of itself.

    Raises:
        UnavailableError: none answers.
        ConfigurationError: what answers is a pooler.
    """
    found = await asyncio.gather(*(_ask(access, address) for address in access.addresses), return_exceptions=True)
    for each in found:
        if isinstance(each, ConfigurationError):
            raise each
    facts = tuple(each for each in found if isinstance(each, ServerFacts))
    if not facts:
        reasons = "; ".join(str(each) for each in found)
        raise UnavailableError(f"no server answers: {reasons}")
    return facts


async def look(connection: asyncpg.Connection, address: Address) -> ServerFacts:
    """What a server says of itself now.

    Raises:
        UnavailableError: it doesn't answer in time, or this role may not ask.
    """
    try:
        row = await connection.fetchrow(_FACTS, timeout=QUERY_LIMIT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise UnavailableError(f"{address}: {str(error) or type(error).__name__}") from None
    assert row is not None
    return ServerFacts(
        address=address,
        role=Role.STANDBY if row["standby"] else Role.PRIMARY,
        system_identifier=row["system_identifier"],
        timeline=Timeline(row["timeline"]),
        lsn=Lsn.parse(row["lsn"]),
        version=row["version"],
        version_text=row["version_text"],
        segment_bytes=row["segment_bytes"],
        tablespaces=tuple(row["tablespaces"]),
        summarizes_wal=row["summarizes_wal"],
        size_bytes=row["size_bytes"],
    )


async def _ask(access: Access, address: Address) -> ServerFacts:
    connection = await connect(access, address)
    try:
        await _require_no_pooler(connection, address)
        return await look(connection, address)
    finally:
        connection.terminate()


async def _require_no_pooler(connection: asyncpg.Connection, address: Address) -> None:
    """A pooler tells each client a process of its own invention, by which it may ask to be cancelled."""
    try:
        async with connection.transaction():  # one session for both steps of the statement
            process = await connection.fetchval("SELECT pg_backend_pid()", timeout=QUERY_LIMIT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise UnavailableError(f"{address}: {str(error) or type(error).__name__}") from None
    if process != connection.get_server_pid():
        raise ConfigurationError(
            f"{address} is a pooler, and a backup needs sessions of its own",
            hint="Name the server's own address and port.",
        )

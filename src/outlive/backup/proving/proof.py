"""Where a commit went: which nodes have it, since when the store has it, and whether a restore ever brought it back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import asyncpg

from outlive import system
from outlive.backup.catalog import Catalog
from outlive.backup.plan.proof import Place, Proof, Restored, prove
from outlive.backup.proving import evidence as kept
from outlive.backup.proving.evidence import VERIFIED
from outlive.backup.restoring.material import Material
from outlive.errors import NotFoundError, UnavailableError
from outlive.model.lsn import Lsn, Timeline
from outlive.postgres.access import Access, connect

QUERY_LIMIT_S = 15.0
_STANDS = """
SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_flush_lsn() END)::text,
       (CASE WHEN pg_is_in_recovery()
             THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver),
                           (SELECT timeline_id FROM pg_control_checkpoint()))
             ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END)
"""
_LAST_WRITE = """
SELECT pg_current_wal_flush_lsn()::text, left(pg_walfile_name(pg_current_wal_lsn()), 8)
FROM outlive.conversations WHERE id = $1
"""


@dataclass(frozen=True, slots=True)
class Stand:
    """How far a node has WAL on its disk."""

    node: str
    timeline: Timeline
    lsn: Lsn


async def stands(access: Access) -> tuple[Stand, ...]:
    """How far every node that answers is; the others are left out."""
    found = await asyncio.gather(*(_stand(access, place) for place in range(len(access.addresses))))
    return tuple(each for each in found if each is not None)


async def _stand(access: Access, place: int) -> Stand | None:
    address = access.addresses[place]
    try:
        connection = await connect(access, address)
        try:
            lsn, timeline = await connection.fetchrow(_STANDS, timeout=QUERY_LIMIT_S)
        finally:
            connection.terminate()
    except (
        UnavailableError,
        OSError,
        TimeoutError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    ):
        return None
    return Stand(str(address), Timeline(timeline), Lsn.parse(lsn)) if lsn else None


async def conversation(access: Access, name: str) -> Place:
    """A place in the WAL by which all that is committed of a conversation now lies: where the primary is.

    Raises:
        NotFoundError: there is no such conversation.
        UnavailableError: no primary answers.
    """
    for address in access.addresses:
        try:
            connection = await connect(access, address)
        except UnavailableError:
            continue
        try:
            if await connection.fetchval("SELECT pg_is_in_recovery()", timeout=QUERY_LIMIT_S):
                continue
            row = await connection.fetchrow(_LAST_WRITE, name, timeout=QUERY_LIMIT_S)
        finally:
            connection.terminate()
        if row is None:
            raise NotFoundError(f"there is no conversation {name!r}")
        return Place(Timeline(int(row[1], 16)), Lsn.parse(row[0]))
    raise UnavailableError("no primary answers")


async def proof(material: Material, catalog: Catalog, place: Place) -> Proof:
    """What the store proves of a commit."""
    tests: list[Restored] = []
    for backup in catalog.backups:
        for key, stored in await kept.read_all(material.store, backup.id):
            found = kept.decode(stored, key)
            if found.status == VERIFIED and found.recovered_to and found.timeline:
                lsn = Lsn.parse(found.recovered_to)
                tests.append(Restored(found.backup, Timeline(found.timeline), lsn, found.at))
    return prove(place, material.facts, tests, system.now_utc())

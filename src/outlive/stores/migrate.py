"""Bringing the schema `outlive` to what this code needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outlive.client.cluster import Cluster, connect
from outlive.client.transaction import Transaction
from outlive.errors import SchemaError
from outlive.stores.plan.migration import Migration, Recorded, Refusal, plan_migrations
from outlive.stores.queries import known_migrations, queries
from outlive.stores.roles import act_as_owner, renew_grants
from outlive.stores.tenants import lifted

MIGRATE_TIMEOUT_S = 120.0
"""How long a migration may take, the wait for another one under way included."""


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What became of the schema: its version now, and the migrations that this call applied."""

    version: int
    applied: tuple[str, ...]


async def migrate(database: Cluster | str | None = None, *, timeout_s: float = MIGRATE_TIMEOUT_S) -> MigrationReport:
    """Apply the migrations that are missing, all of them or none, in one transaction.

    `database` is a connected cluster, a DSN, or None for what `outlive.connect()` finds by itself. Several programs
    may migrate at once: an advisory lock lets one work, the others find nothing left to do. A synchronous standby is
    waited for where one is in force; given a DSN, the schema is made without one too.

    Raises:
        SchemaError: the schema is newer than this code, or was migrated with another text.
    """
    if isinstance(database, Cluster):
        return await _migrate(database, timeout_s)
    async with connect(database, degraded="allow") as db:
        return await _migrate(db, timeout_s)


async def _migrate(db: Cluster, timeout_s: float) -> MigrationReport:
    applied = await db.run(
        _apply, durability="critical", isolation="read_committed", idempotent=True, timeout=timeout_s
    )
    return MigrationReport(len(known_migrations()), applied)


async def _apply(tx: Transaction) -> tuple[str, ...]:
    await tx.execute(queries("migrations")["lock"])
    await act_as_owner(tx)
    match plan_migrations(known_migrations(), await _recorded(tx)):
        case Refusal(reason, hint):
            raise SchemaError(reason, hint=hint)
        case pending:
            if pending.migrations:
                await _apply_all(tx, pending.migrations)
            return tuple(f"{migration.version:04d}_{migration.name}" for migration in pending.migrations)


async def _apply_all(tx: Transaction, migrations: Sequence[Migration]) -> None:
    async with lifted(tx):
        for migration in migrations:
            await _apply_one(tx, migration)
    await renew_grants(tx)


async def _recorded(tx: Transaction) -> tuple[Recorded, ...]:
    if not await tx.fetchval(queries("migrations")["prepared"]):
        await tx.execute(queries("migrations")["prepare"])
    rows = await tx.fetch(queries("migrations")["recorded"])
    return tuple(Recorded(**row) for row in rows)


async def _apply_one(tx: Transaction, migration: Migration) -> None:
    await tx.execute(migration.sql)
    record = queries("migrations")["record"]
    await tx.execute(record, migration.version, migration.name, migration.checksum)

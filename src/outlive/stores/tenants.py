"""Tenants kept apart in one database, by row-level security."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from outlive.client import options
from outlive.client.cluster import Cluster, connect
from outlive.client.transaction import Transaction
from outlive.errors import ConfigurationError
from outlive.stores.failures import typed_refusals
from outlive.stores.queries import queries
from outlive.stores.roles import act_as_owner

TENANTS_TIMEOUT_S = 600.0
"""How long it may take: the indexes of what is unique are made anew."""


async def enable(
    database: Cluster | str | None = None, *, existing: str | None = None, timeout_s: float = TENANTS_TIMEOUT_S
) -> int:
    """Keep tenants apart from now on, in all tables of the schema; returns how many there are.

    `database` is what `migrate` takes; the schema is there already. From now on a client sees and writes rows only
    by `db.as_tenant(name)`; without a tenant there is nothing to be seen. What is kept already becomes the rows of
    the tenant `existing`, the audit log excepted. Tables are locked meanwhile. There is no way back but by hand.

    Raises:
        ConfigurationError: rows are kept already, and `existing` is not given.
    """
    owner = None if existing is None else options.tenant(existing)
    if not isinstance(database, Cluster):
        async with connect(database, degraded="allow") as db:
            return await enable(db, existing=owner, timeout_s=timeout_s)
    try:
        with typed_refusals():
            return await database.run(
                _enable, owner, durability="critical", isolation="read_committed", idempotent=True, timeout=timeout_s
            )
    except asyncpg.NotNullViolationError as error:
        hint = "Say whose they are: existing=... or --existing-tenant."
        raise ConfigurationError(f"rows are kept that belong to no tenant: {error}", hint=hint) from error


async def _enable(tx: Transaction, existing: str | None) -> int:
    await tx.execute(queries("migrations")["lock"])
    await act_as_owner(tx)
    return int(await tx.fetchval(queries("tenants")["separate"], existing))


async def must_be_named(db: Cluster) -> bool:
    """Whether tenants are kept apart and this role sees no row without acting for one."""
    return bool(await db.fetchval(queries("tenants")["must_be_named"]))


@asynccontextmanager
async def lifted(tx: Transaction) -> AsyncIterator[None]:
    """Let the owner work on the rows of all tenants; at the end they are kept apart as before, in new tables too."""
    separate = await tx.fetchval(queries("tenants")["are_separate"])
    if separate:
        await tx.execute(queries("tenants")["lift"])
    yield
    if separate:
        await tx.execute(queries("tenants")["separate"], None)

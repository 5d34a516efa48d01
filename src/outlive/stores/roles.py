"""The roles of the schema `outlive`: made and given their rights, or said what an administrator has to run."""

from __future__ import annotations

from typing import Any, assert_never

from outlive.client.cluster import Cluster, connect
from outlive.client.transaction import Transaction
from outlive.errors import ConfigurationError
from outlive.stores.failures import typed_refusals
from outlive.stores.plan.roles import ROLES, AdministratorNeeded, Grant, RoleFacts, plan_roles, quoted_name
from outlive.stores.queries import queries

ROLES_TIMEOUT_S = 120.0
"""How long it may take, the wait for a migration under way included."""


async def ensure(database: Cluster | str | None = None, *, timeout_s: float = ROLES_TIMEOUT_S) -> tuple[str, ...]:
    """Make the roles that are missing, hand the schema to its owner, and give each role its rights.

    `database` is what `migrate` takes; the schema is there already. Returns the statements that were run about the
    server's roles. Doing it again gives rights on what has been made since; migrations do that by themselves.

    Raises:
        ConfigurationError: this role may not; the hint has the SQL that an administrator has to run first.
    """
    if not isinstance(database, Cluster):
        async with connect(database, degraded="allow") as db:
            return await ensure(db, timeout_s=timeout_s)
    with typed_refusals():
        return await database.run(
            _ensure, durability="critical", isolation="read_committed", idempotent=True, timeout=timeout_s
        )


async def act_as_owner(tx: Transaction) -> None:
    """Make what follows in this transaction belong to the schema's owner, if this role is one of its members."""
    owner = await tx.fetchval(queries("roles")["owner"])
    if owner is not None:
        await tx.execute(f"SET LOCAL ROLE {quoted_name(owner)}")


async def renew_grants(tx: Transaction) -> None:
    """Give the roles their rights on what the transaction made; nothing to do where there are no roles."""
    if await tx.fetchval(queries("roles")["in_force"]):
        await tx.execute(queries("roles")["grant"])


async def _ensure(tx: Transaction) -> tuple[str, ...]:
    await tx.execute(queries("migrations")["lock"])
    match plan_roles(await _facts(tx)):
        case AdministratorNeeded(statements):
            sql = "".join(f"\n    {statement};" for statement in statements)
            hint = f"Let an administrator run this, and then do it again:{sql}"
            raise ConfigurationError("this role may not make the roles of the schema `outlive`", hint=hint)
        case Grant(statements):
            for statement in (*statements, queries("roles")["own"], queries("roles")["grant"]):
                await tx.execute(statement)
            return statements
        case never:
            assert_never(never)


async def _facts(tx: Transaction) -> RoleFacts:
    row = await tx.fetchrow(queries("roles")["facts"], list(ROLES))
    assert row is not None, "the current role is a role"
    facts: dict[str, Any] = {
        name: frozenset(value) if isinstance(value, list) else value for name, value in row.items()
    }
    return RoleFacts(**facts)

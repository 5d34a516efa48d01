"""Room for embeddings, made where pgvector is."""

from __future__ import annotations

from typing import assert_never

import asyncpg

from outlive.client.transaction import Transaction
from outlive.errors import SchemaError
from outlive.stores.plan.vectors import CannotKeep, Make, VectorFacts, plan_vectors
from outlive.stores.queries import queries
from outlive.stores.roles import act_as_owner, renew_grants
from outlive.stores.statements import Statements
from outlive.stores.tenants import lifted

ADMINISTRATORS_SQL = "CREATE EXTENSION vector SCHEMA public;"


async def enable(statements: Statements, dimensions: int, room: str = "vectors") -> None:
    """Make the table of embeddings of so many dimensions, and pgvector itself if that is permitted.

    `room` names the queries that make it: those of context, or those of items.

    Raises:
        SchemaError: it can't be; the hint says what has to be done first.
    """
    await statements.db.run(
        _enable,
        dimensions,
        room,
        durability=statements.durability,
        isolation="read_committed",
        idempotent=True,
        timeout=statements.timeout_s,
    )


async def _enable(tx: Transaction, dimensions: int, room: str) -> None:
    await tx.execute(queries("migrations")["lock"])
    facts = await tx.fetchrow(queries(room)["facts"])
    assert facts is not None, "an aggregate has a row"
    match plan_vectors(VectorFacts(**facts), dimensions):
        case CannotKeep(reason, hint):
            raise SchemaError(reason, hint=hint)
        case Make() as make:
            await _make(tx, make, room)
        case never:
            assert_never(never)


async def _make(tx: Transaction, make: Make, room: str) -> None:
    names = {"schema": make.schema, "dimensions": make.dimensions}
    try:
        if make.create_extension:
            await tx.execute(queries("vectors")["create_extension"])
        await act_as_owner(tx)
        async with lifted(tx):
            await tx.execute(_filled(queries(room)["make"], names))
            index = queries(room).get("make_index")
            if make.index and index is not None:
                await tx.execute(_filled(index, names))
        await renew_grants(tx)
    except asyncpg.InsufficientPrivilegeError as error:
        hint = (
            f"In this database, let an administrator run: {ADMINISTRATORS_SQL}"
            if make.create_extension
            else ("Call it as the role that migrated.")
        )
        raise SchemaError(f"this role may not make room for embeddings: {error}", hint=hint) from error


def _filled(text: str, names: dict[str, object]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text

"""The client's public surface under mypy: this file is type-checked, never run."""

from typing import Any, assert_type

import asyncpg

import outlive
from outlive.model.topology import NodeFacts, Topology


async def _double(tx: outlive.Transaction, number: int) -> int:
    await tx.execute("select $1::int", number)
    return number * 2


async def surface() -> None:
    """Every public call, with the type of what it gives."""
    async with outlive.connect() as db:
        assert_type(db, outlive.Cluster)
        assert_type(await db.run(_double, 4, durability="critical", idempotent=True, timeout=5.0), int)
        assert_type(await db.execute("select 1"), str)
        assert_type(await db.fetchval("select 1", read="strong"), Any)
        assert_type(await db.fetchval("select 1", read=outlive.bounded(2)), Any)
        assert_type(await db.session.token(), str)
        assert_type(db.topology, Topology)
        assert_type(db.primary, NodeFacts | None)
        db.on_node_lost(lambda address, reason: print(address, reason))()  # noqa: T201
        assert_type(await db.wait_primary(1.0), NodeFacts)
        async for tx in db.transaction(durability=outlive.Durability.REGENERABLE, isolation="serializable"):
            assert_type(tx, outlive.Transaction)
            async with tx as entered:
                assert_type(entered, outlive.Transaction)
            assert_type(tx.receipt, outlive.Receipt | None)
            if tx.receipt is not None:
                assert_type(await db.locate(tx.receipt), outlive.Receipt)
                assert_type(outlive.Receipt.parse(str(tx.receipt)), outlive.Receipt)
        async with db.connection() as connection:
            assert_type(connection, asyncpg.Connection)
    assert_type(await outlive.connect("postgresql://h/db"), outlive.Cluster)


async def mistakes(db: outlive.Cluster) -> None:
    """What mypy has to refuse."""
    await db.fetch("select 1", read="stong")  # type: ignore[arg-type]
    db.transaction(durability="critcal")  # type: ignore[arg-type]
    db.transaction(isolation="snapshot")  # type: ignore[arg-type]
    outlive.connect(degraded="maybe")  # type: ignore[arg-type]

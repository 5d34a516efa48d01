"""A statement on the primary that commits by itself and returns rows: fenced, and one round trip.

    WITH "outlive fence" AS (SELECT ... the fence ...) SELECT r.* FROM "outlive fence", LATERAL (SELECT f($1)) AS r

A transaction takes three round trips for one statement: BEGIN, the statement, COMMIT. Here the fence travels in the
statement, with what a write that waits for no standby sets for itself; a refusal undoes whatever else was done. Through
a pooler, for a tenant, and where a session's own isolation level is another than read committed, it goes the long way.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import asyncpg

from outlive.client import running, statement
from outlive.client.attempts import Attempts
from outlive.client.cluster import Cluster
from outlive.client.failures import AttemptError, diagnose, is_of_fence
from outlive.client.nodes import Nodes
from outlive.client.plan.begin import FENCE, fence
from outlive.client.plan.retry import Phase
from outlive.client.plan.synchronous import InForce
from outlive.client.plan.topology import Primary
from outlive.client.receipts import gather_statement
from outlive.client.transaction import Transaction
from outlive.model.deadline import Deadline
from outlive.model.durability import Durability
from outlive.model.lsn import Timeline
from outlive.model.topology import Address

_OTHER_ISOLATION = f"{FENCE}the isolation level of the session"
_SELECT = re.compile(r"(?:\s|--[^\n]*\n)*select\b", re.IGNORECASE)


class _LongWayError(Exception):
    """It has to be a transaction."""


async def fetch(db: Cluster, sql: str, *args: object, durability: Durability, timeout_s: float) -> list[asyncpg.Record]:
    """The rows of a write that says the same when it is said twice: it is repeated if its answer is lost.

    Raises:
        DurabilityNotMetError: it is critical, and no synchronous standby is in force.
        RetryBudgetExceededError: attempts or time ran out.
    """
    nodes = refuse_nesting(db)
    acts_for_one = db._tenant is not None  # noqa: SLF001 - policies have to find the setting made by the time they look
    if not nodes.limits.pooler and not acts_for_one and _SELECT.match(sql):
        try:
            return await _by_itself(db, sql, args, durability, timeout_s)
        except _LongWayError:
            pass
    rows: list[asyncpg.Record] = await db.run(
        _fetch, sql, *args, durability=durability, isolation="read_committed", idempotent=True, timeout=timeout_s
    )
    return rows


def refuse_nesting(db: Cluster) -> Nodes:
    """The client's nodes, unless this is called inside a function that its `run` is running.

    Raises:
        ConfigurationError: it is.
    """
    nodes = db._running()  # noqa: SLF001 - the client's own, kept from its public face
    running.refuse_nesting(nodes)
    return nodes


async def _by_itself(
    db: Cluster, sql: str, args: tuple[object, ...], durability: Durability, timeout_s: float
) -> list[asyncpg.Record]:
    nodes = db._running()  # noqa: SLF001
    attempts = Attempts(nodes.monitor, timeout_s, idempotent=True)
    waits = durability is Durability.CRITICAL
    strict = waits and not db._degraded  # noqa: SLF001

    primary: Primary | None = None

    async def choose(deadline: Deadline) -> tuple[Address, statement.Call[list[asyncpg.Record]]]:
        nonlocal primary
        primary = await (nodes.synchronous_primary(deadline) if strict else nodes.primary(deadline))
        names = primary.synchronous.names if waits and isinstance(primary.synchronous, InForce) else None
        text = fenced(sql, primary.facts.timeline, names)
        return primary.address, lambda connection: _execute(connection, text, args)

    rows = await statement.repeat(nodes, attempts, choose, Phase.STATEMENT, sql)
    assert primary is not None
    gather_statement(primary, durability, attempts.number)
    return rows


async def _execute(connection: asyncpg.Connection, text: str, args: tuple[object, ...]) -> list[asyncpg.Record]:
    try:
        rows: list[asyncpg.Record] = await connection.fetch(text, *args)
    except asyncpg.PostgresError as error:
        if _OTHER_ISOLATION in str(error):
            raise _LongWayError from None
        failure = diagnose(error, Phase.BEGIN, None) if is_of_fence(error) else None
        if failure is None:
            raise
        raise AttemptError(failure) from error
    return rows


@lru_cache(maxsize=256)
def fenced(sql: str, timeline: Timeline, synchronous_names: str | None) -> str:
    """The query, refused by any but the one primary that is meant, and under any isolation but read committed.

    `synchronous_names` is the setting that has to be in force; without one it waits for the primary's own disk only.
    """
    level = "pg_catalog.current_setting('transaction_isolation')"
    checks = [
        f"({fence(timeline, synchronous_names)}) = 0",
        f"CAST(CASE WHEN {level} <> 'read committed' THEN '{_OTHER_ISOLATION}' ELSE '0' END AS pg_catalog.int4) = 0",
    ]
    if synchronous_names is None:
        checks.append("pg_catalog.set_config('synchronous_commit', 'local', true) = 'local'")
    return (
        f'WITH "outlive fence" AS MATERIALIZED (SELECT {" AND ".join(checks)} AS passed) '  # noqa: S608 - the stores' own text
        f'SELECT r.* FROM "outlive fence" AS f CROSS JOIN LATERAL ({sql}) AS r WHERE f.passed'
    )


async def _fetch(tx: Transaction, sql: str, *args: Any) -> list[asyncpg.Record]:
    return await tx.fetch(sql, *args)

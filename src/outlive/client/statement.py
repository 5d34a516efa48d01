"""A single statement: a read from the node that fits, or a write on the primary that commits by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from outlive.client.attempts import Attempts
from outlive.client.failures import UNREPLICATED, AttemptError, diagnose
from outlive.client.nodes import Nodes
from outlive.client.plan.begin import tenant_setting
from outlive.client.plan.retry import AttemptFailure, FailureKind, Phase
from outlive.client.plan.synchronous import InForce
from outlive.client.plan.topology import Primary
from outlive.client.receipts import gather_statement
from outlive.client.wire import CANCELLED, Wire
from outlive.model.deadline import Deadline
from outlive.model.durability import Durability
from outlive.model.freshness import Freshness, Strong
from outlive.model.outcome import Outcome
from outlive.model.topology import Address

T = TypeVar("T")

Call = Callable[[asyncpg.Connection], Awaitable[T]]


async def read(nodes: Nodes, attempts: Attempts, freshness: Freshness, call: Call[T], sql: str) -> T:
    """Run a read on the node that `freshness` asks for, again and again until it succeeds within the budget."""

    async def choose(deadline: Deadline) -> tuple[Address, Call[T]]:
        return nodes.reader(freshness) or (await nodes.primary(deadline)).address, call

    return await repeat(nodes, attempts, choose, Phase.READ, sql, freshness)


async def ask(nodes: Nodes, attempts: Attempts, call: Call[T], sql: str) -> T:
    """Ask the primary what only a primary can say: a node that is none any more counts as demoted."""

    async def choose(deadline: Deadline) -> tuple[Address, Call[T]]:
        return (await nodes.primary(deadline)).address, call

    return await repeat(nodes, attempts, choose, Phase.BEGIN, sql, Strong())


async def execute(nodes: Nodes, attempts: Attempts, call: Call[T], sql: str, *, degraded: bool) -> T:
    """Run an autocommitted write on the primary; a lost answer is repeated only if the attempts are idempotent."""

    primary: Primary | None = None

    async def choose(deadline: Deadline) -> tuple[Address, Call[T]]:
        nonlocal primary
        primary = nodes.ready(synchronous=not degraded)
        if primary is None:
            primary = await (nodes.primary(deadline) if degraded else nodes.synchronous_primary(deadline))
        return primary.address, call if isinstance(primary.synchronous, InForce) else _unreplicated(call)

    result = await repeat(nodes, attempts, choose, Phase.STATEMENT, sql)
    assert primary is not None
    gather_statement(primary, Durability.CRITICAL, attempts.number)
    return result


def for_tenant(call: Call[T], tenant: str) -> Call[T]:
    """The call in a transaction that sees the rows of one tenant: two round trips more."""

    async def within(connection: asyncpg.Connection) -> T:
        await connection.execute(f"BEGIN;{tenant_setting(tenant)}")
        try:
            result = await call(connection)
        except Exception:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            raise
        await connection.execute("COMMIT")
        return result

    return within


def _unreplicated(call: Call[T]) -> Call[T]:
    """The call without a wait for a standby, which could last forever where none is in force."""

    async def locally(connection: asyncpg.Connection) -> T:
        await connection.execute("SET synchronous_commit = local")
        try:
            return await call(connection)
        except asyncio.CancelledError:
            connection.terminate()
            raise
        finally:
            if not connection.is_closed():
                await connection.execute("RESET synchronous_commit")

    return locally


async def repeat(
    nodes: Nodes,
    attempts: Attempts,
    choose: Callable[[Deadline], Awaitable[tuple[Address, Call[T]]]],
    phase: Phase,
    sql: str,
    freshness: Freshness | None = None,
) -> T:
    """Make attempts at a call on the node that `choose` finds, until one succeeds or the budget is spent."""
    while True:
        await attempts.next()
        wire = None
        failure = None
        try:
            address, call = await choose(attempts.deadline)
            wire = await nodes.acquire(address, attempts.deadline)
            wire.note(sql)
            if isinstance(freshness, Strong):
                refuse_standby(wire)
            result = await bounded(wire, call, attempts.deadline, phase)
        except Exception as error:
            failure = diagnose(error, Phase.CONNECT if wire is None else phase, wire)
            attempts.failed(error, failure, wire)
        except BaseException:
            attempts.abandoned(
                wire, CANCELLED, Outcome.UNKNOWN if wire and phase is Phase.STATEMENT else Outcome.NOT_APPLIED
            )
            raise
        else:
            attempts.succeeded(wire)
            return result
        finally:
            if wire is not None:
                nodes.release(wire, failure, freshness)


def refuse_standby(wire: Wire) -> None:
    """Catch a node that was demoted and restarted before the watch noticed: it would answer with the past."""
    if wire.is_standby:
        raise AttemptError(AttemptFailure(Phase.BEGIN, FailureKind.DEMOTED, "it is a standby now"))


async def bounded(wire: Wire, call: Call[T], deadline: Deadline, phase: Phase) -> T:
    """Run one call on a connection that is cut when the deadline comes."""
    wire.alarm.set(deadline.at)
    try:
        result = await call(wire.connection)
    except asyncio.CancelledError:
        # Before the driver can send its CancelRequest, which would cut short the wait for a standby.
        wire.cut(CANCELLED)
        raise
    finally:
        wire.alarm.clear()
    if wire.unreplicated:
        raise AttemptError(AttemptFailure(phase, FailureKind.UNREPLICATED, UNREPLICATED))
    return result

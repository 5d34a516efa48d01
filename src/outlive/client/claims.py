"""Taking a key in a transaction's first message, and what follows when it can't be had at once."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import asyncpg

from outlive.client.failures import AttemptError
from outlive.client.forbidden import forbidden
from outlive.client.plan import keys
from outlive.client.plan.keys import Done, Key
from outlive.client.plan.retry import AttemptFailure, FailureKind, Phase
from outlive.client.wire import Wire
from outlive.errors import KeyReusedError, SchemaError
from outlive.system import chance, now_utc

_LOCAL_BEGIN = "BEGIN;SET LOCAL synchronous_commit = local"


def new_key() -> UUID:
    """A key for one request: a UUIDv7, made now. Keep it as long as the request may be asked for again."""
    return keys.new_key(now_utc(), chance.getrandbits(74))


async def begin(wire: Wire, message: str, key: Key | None) -> Done | None:
    """Send a transaction's first message, which claims the key; what became of its request, if it was applied before.

    Raises:
        KeyReusedError: the key was used for another request.
        KeyExpiredError: it is older than keys are kept.
        SchemaError: there is no table for keys.
        StateError: this role may not take keys.
        AttemptError: begin again, as the key's place was not ready.
    """
    if key is None:
        await wire.connection.execute(message)
        return None
    try:
        tag = await wire.connection.execute(message)
    except asyncpg.PostgresError as error:
        await look_into(error, wire, key)
        raise
    return None if tag == keys.CLAIMED else await found(wire, key)


async def found(wire: Wire, key: Key) -> Done:
    """The row of a key that was taken, locked by the transaction that is open."""
    row = await wire.connection.fetchrow(key.find, key.value)
    if row is None:
        raise AttemptError(AttemptFailure(Phase.BEGIN, FailureKind.CONFLICT, "the key was forgotten just now"))
    if row["request"] != key.request:
        raise KeyReusedError(f"the key {str(key.value)!r} was used before, for another function or other arguments")
    return Done(row["result"])


async def look_into(error: asyncpg.PostgresError, wire: Wire, key: Key) -> None:
    """Raise what a failed claim means, if the claim is what failed; the transaction is over then."""
    match error:
        case asyncpg.UndefinedTableError() | asyncpg.InvalidSchemaNameError() if key.table in str(error):
            raise SchemaError("there is no table for keys in this database") from error
        case asyncpg.InsufficientPrivilegeError():
            raise forbidden(error) from error
        case asyncpg.CheckViolationError() if (error.schema_name, error.table_name) == ("outlive", "keys"):
            await _admit(wire, key)


async def _admit(wire: Wire, key: Key) -> None:
    """Have the partition of the key's day made, or learn why there is none."""
    assert isinstance(key.value, UUID)
    await wire.connection.execute(f"ROLLBACK;{_LOCAL_BEGIN}")
    verdict = await wire.connection.fetchval("SELECT outlive.admit_key($1)", key.value)
    await wire.connection.execute("COMMIT")
    if verdict != "ready":
        raise keys.refusal(key.value, verdict)
    raise AttemptError(AttemptFailure(Phase.BEGIN, FailureKind.CONFLICT, "the place for the key was made just now"))


class _Queries(Protocol):
    def fetchrow(self, sql: str, *args: object) -> Awaitable[asyncpg.Record | None]: ...


async def expire(tx: _Queries, keep: timedelta, /) -> tuple[int, int]:
    """Forget keys older than `keep`: how many days were dropped, and how many other keys deleted."""
    try:
        row = await tx.fetchrow("SELECT days, text_keys FROM outlive.expire_keys($1)", keep)
    except (asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError) as error:
        raise SchemaError("there is no table for keys in this database") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise forbidden(error) from error
    assert row is not None
    return row["days"], row["text_keys"]

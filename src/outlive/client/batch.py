"""Several statements in one transaction and one round trip.

Each statement is prepared once on each connection, the driver's way. From then on one message holds BEGIN, the
fence, the key, an EXECUTE for each statement, and COMMIT. Only the arguments are written into it, as constants; no
text of the caller's SQL ever stands beside them. What can't be said like that goes the ordinary way, statement by
statement: an argument without an exact constant, a key that is taken, a key's table or day that is missing.

A single statement with a key needs neither BEGIN nor COMMIT nor constants: see `plan/single.py`.

Source: PostgreSQL documentation, "Extended Query": statements prepared in the protocol can be run with EXECUTE.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import asyncpg

from outlive.client import running
from outlive.client.attempts import Attempts
from outlive.client.failures import UNREPLICATED, AttemptError, diagnose, is_of_fence
from outlive.client.nodes import Nodes
from outlive.client.plan.literals import literal
from outlive.client.plan.retry import AttemptFailure, FailureKind, Phase
from outlive.client.plan.single import can_carry_a_key, with_key
from outlive.client.plan.synchronous import InForce
from outlive.client.plan.topology import Primary
from outlive.client.transaction import Terms, Transaction
from outlive.client.uninterrupted import uninterrupted
from outlive.client.wire import CANCELLED, DEADLINE_CAME, Wire
from outlive.errors import ConfigurationError
from outlive.model.durability import Durability, Receipt
from outlive.model.outcome import Outcome
from outlive.system import monotonic

Statement = tuple[str, Sequence[object]]
Message = tuple[object, ...]
"""A text of SQL, and the arguments that travel apart from it."""

MAX_PREPARED = 100
"""Statements that a connection keeps prepared for batches."""

_FIRST_WORD = re.compile(r"[\s;]*(\w*)")
_ENDS = frozenset(
    {"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare", "execute"}
)


def checked(statements: Iterable[str | Statement]) -> list[Statement]:
    """The statements, each with its arguments.

    Raises:
        ConfigurationError: one is not SQL with a sequence of arguments, or ends the transaction itself.
    """
    found = [_checked(number, given) for number, given in enumerate(statements, 1)]
    if not found:
        raise ConfigurationError("a batch can't be empty")
    return found


def _checked(number: int, given: object) -> Statement:
    match given:
        case str():
            sql, args = given, ()  # type: str, Sequence[object]
        case (str() as sql, (list() | tuple()) as args):
            pass
        case _:
            raise ConfigurationError(
                f"statement {number} of the batch can't be {given!r}", hint='Pass "sql", or ("sql", [argument, ...]).'
            )
    first = _FIRST_WORD.match(sql)
    if first is not None and first[1].lower() in _ENDS:
        raise ConfigurationError(f"statement {number} of the batch is {sql!r}: the transaction is the batch's own")
    return sql, args


async def batch(nodes: Nodes, terms: Terms, attempts: Attempts, statements: Sequence[Statement]) -> Receipt:
    """The receipt of the commit that all of the statements are part of."""
    while True:
        attempt = _Attempt(nodes, terms, attempts)
        if nodes.limits.pooler or not await attempt.send(statements):
            return await _one_by_one(nodes, terms, attempts, statements)
        if attempt.receipt is not None:
            return attempt.receipt


async def _one_by_one(nodes: Nodes, terms: Terms, attempts: Attempts, statements: Sequence[Statement]) -> Receipt:
    async def execute(tx: Transaction) -> None:
        for sql, args in statements:
            await tx.execute(sql, *args)

    receipts: list[Receipt] = []
    await running.run(nodes, terms, attempts, execute, receipts.append)
    return receipts[0]


class _Attempt(Transaction):
    """One message that begins, does everything and commits."""

    __slots__ = ("_is_single",)

    async def send(self, statements: Sequence[Statement]) -> bool:
        """Send it: `receipt` is set if it was acknowledged, else another attempt is due; False: not this way."""
        await self._attempts.next()
        wire, phase = None, Phase.CONNECT
        try:
            self._primary = primary = await self._target()
            self._is_single = self._fits(primary, statements)
            wire = await self._nodes.acquire(primary.address, self._attempts.deadline)
            self._start_timer(wire)
            phase = Phase.BEGIN
            message = await self._message(wire, primary, statements)
            if message is None:
                self._attempts.abandoned(wire, "it has to go statement by statement")
                self._release(wire)
                return False
            phase = Phase.COMMIT
            await self._exchange(wire, *message)
        except Exception as error:
            return await self._failed(error, phase, wire)
        except BaseException:
            self._attempts.abandoned(wire, CANCELLED)
            self._drop(wire, CANCELLED)
            raise
        self._attempts.succeeded(wire)
        self._release(wire)
        if self._interrupted:
            raise asyncio.CancelledError
        return True

    def _fits(self, primary: Primary, statements: Sequence[Statement]) -> bool:
        """Whether the server can do all of it as one statement, acknowledged as the session's own default says."""
        terms = self._terms
        plain = terms.durability is Durability.CRITICAL and terms.isolation is None and _names(primary) is not None
        plain = plain and terms.tenant is None
        return terms.key is not None and plain and len(statements) == 1 and can_carry_a_key(statements[0][0])

    def _claim(self) -> str:
        return "" if self._terms.key is None else f"{self._terms.key.claim_or_fail};"

    async def _message(self, wire: Wire, primary: Primary, statements: Sequence[Statement]) -> Message | None:
        """What does it all, None if nothing can."""
        if self._is_single:
            (sql, args), key, names = statements[0], self._terms.key, _names(primary)
            assert key is not None
            assert names is not None
            wire.note(sql)
            (await _prepared(wire, sql)).check(args)
            text = with_key(sql, len(args), key.table, primary.facts.timeline, names)
            return text, *args, key.value, key.request
        calls = await _calls(wire, statements)
        return None if calls is None else (f"{self._begin_message(primary)};{self._claim()}{calls}COMMIT",)

    async def _exchange(self, wire: Wire, *message: object) -> None:
        await uninterrupted(wire.connection.execute(*message), self._interrupt)
        if wire.unreplicated:
            raise AttemptError(AttemptFailure(Phase.COMMIT, FailureKind.UNREPLICATED, UNREPLICATED))
        self.receipt = self._receipt()

    async def _failed(self, error: Exception, phase: Phase, wire: Wire | None) -> bool:
        failure = diagnose(error, Phase.BEGIN if is_of_fence(error) else phase, wire)
        if wire is not None:
            await self._clean(wire, failure)
        self.unanswered = failure is not None and failure.outcome is Outcome.UNKNOWN
        if self._interrupted and not self.unanswered:
            raise asyncio.CancelledError from error
        if failure is None and (self._of_key(error) or (self._is_single and isinstance(error, asyncpg.PostgresError))):
            return False
        if isinstance(error, asyncpg.InvalidSQLStatementNameError) and wire is not None:
            # Somebody deallocated what was prepared: prepare it again.
            wire.prepared.clear()
            failure = AttemptFailure(Phase.BEGIN, FailureKind.CONFLICT, "its prepared statements were gone")
        self._attempts.failed(error, failure, wire, last=self._interrupted)
        return True

    async def _clean(self, wire: Wire, failure: AttemptFailure | None) -> None:
        """Give the connection back as it was, or drop it."""
        if failure is None or failure.outcome is Outcome.NOT_APPLIED:
            await self._undo(wire)
        else:
            self._release(wire, failure)

    def _of_key(self, error: Exception) -> bool:
        """Whether the key's own statement failed: it is taken, or there is no place for it."""
        if self._terms.key is None or not isinstance(error, asyncpg.PostgresError):
            return False
        if isinstance(error, asyncpg.UndefinedTableError | asyncpg.InvalidSchemaNameError):
            return self._terms.key.table in str(error)
        table = str(error.table_name or "")
        return error.schema_name == "outlive" and (table.startswith("keys") or table == "text_keys")

    def _start_timer(self, wire: Wire) -> None:
        remaining_s = self._attempts.deadline.remaining_s(monotonic())
        self._timer = asyncio.get_running_loop().call_later(remaining_s, wire.cut, DEADLINE_CAME)


def _names(primary: Primary) -> str | None:
    """The synchronous setting that has to be in force, None if none is."""
    return primary.synchronous.names if isinstance(primary.synchronous, InForce) else None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that a connection has prepared; `handle` keeps the driver from closing it."""

    name: str
    parameters: tuple[str, ...]
    handle: Any

    def check(self, args: Sequence[object]) -> None:
        """Count the arguments.

        Raises:
            ConfigurationError: there are more or fewer of them than the statement takes.
        """
        if len(args) != len(self.parameters):
            raise ConfigurationError(f"the statement takes {len(self.parameters)} arguments, {len(args)} were given")

    def call(self, args: Sequence[object]) -> str | None:
        """The EXECUTE with these arguments, None if one of them has no constant.

        Raises:
            ConfigurationError: there are more or fewer of them than the statement takes.
        """
        self.check(args)
        constants = list(starmap(literal, zip(args, self.parameters, strict=True)))
        texts = [constant for constant in constants if constant is not None]
        if len(texts) < len(constants):
            return None
        listed = f"({','.join(texts)})" if texts else ""
        return f'EXECUTE "{self.name}"{listed};'


async def _calls(wire: Wire, statements: Sequence[Statement]) -> str | None:
    for sql, _ in statements:
        wire.note(sql)
    calls = [(await _prepared(wire, sql)).call(args) for sql, args in statements]
    texts = [call for call in calls if call is not None]
    return "".join(texts) if len(texts) == len(calls) else None


async def _prepared(wire: Wire, sql: str) -> Prepared:
    known: Prepared | None = wire.prepared.pop(sql, None)
    if known is None:
        handle = await wire.connection.prepare(sql)
        parameters = tuple(_type_name(parameter) for parameter in handle.get_parameters())
        known = Prepared(handle.get_name(), parameters, handle)
        if len(wire.prepared) >= MAX_PREPARED:
            del wire.prepared[next(iter(wire.prepared))]
    wire.prepared[sql] = known
    return known


def _type_name(parameter: asyncpg.Type) -> str:
    # A type of one's own may have a known one's name: only the server's own are known.
    return parameter.name if parameter.schema == "pg_catalog" else ""

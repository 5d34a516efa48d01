"""Several statements in one transaction and one round trip.

Each statement is prepared once on each connection. From then on one message holds BEGIN, the fence and the key, an
EXECUTE for each statement, and COMMIT. What can't be said like that goes the ordinary way, statement by statement: an
argument without an exact constant, a key that is taken, a key's table or day that is missing.

A single statement with a key needs neither BEGIN nor COMMIT nor constants: see `plan/single.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import asyncpg

from outlive.client import running
from outlive.client.attempt import Attempt, Terms
from outlive.client.attempts import Attempts
from outlive.client.failures import diagnose, is_of_fence
from outlive.client.nodes import Nodes
from outlive.client.plan.begin import fence
from outlive.client.plan.retry import AttemptFailure, FailureKind, Phase
from outlive.client.plan.single import can_carry_a_key, with_key
from outlive.client.plan.synchronous import InForce
from outlive.client.plan.topology import Primary
from outlive.client.prepared import known, prepared
from outlive.client.transaction import Transaction
from outlive.client.uninterrupted import uninterrupted
from outlive.client.wire import CANCELLED, Wire
from outlive.errors import ConfigurationError
from outlive.model.durability import Durability, Receipt
from outlive.model.outcome import Outcome

Statement = tuple[str, Sequence[object]]
Fenced = Callable[[str], str]
"""Makes the text of a statement that has the fence in it."""

Message = tuple[object, ...]
"""A text of SQL, and the arguments that travel apart from it."""

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
    if _ends_transaction(sql):
        raise ConfigurationError(f"statement {number} of the batch is {sql!r}: the transaction is the batch's own")
    return sql, args


@lru_cache(maxsize=4096)
def _ends_transaction(sql: str) -> bool:
    first = _FIRST_WORD.match(sql)
    return first is not None and first[1].lower() in _ENDS


async def batch(
    nodes: Nodes, terms: Terms, attempts: Attempts, statements: Sequence[Statement], fenced: Fenced | None = None
) -> Receipt:
    """The receipt of the commit that all of the statements are part of.

    `fenced` makes one statement of the only one and of the fence, for where nothing else has to go along.
    """
    while True:
        attempt = _Attempt(nodes, terms, attempts, fenced)
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


class _Attempt(Attempt):
    """One message that begins, does everything and commits."""

    __slots__ = ("_fenced", "_is_single")

    def __init__(self, nodes: Nodes, terms: Terms, attempts: Attempts, fenced: Fenced | None) -> None:
        super().__init__(nodes, terms, attempts)
        self._fenced = fenced
        self._is_single = False

    async def send(self, statements: Sequence[Statement]) -> bool:
        """Send it: `receipt` is set if it was acknowledged, else another attempt is due; False: not this way."""
        attempts, nodes = self._attempts, self._nodes
        await attempts.next()
        wire, phase = None, Phase.CONNECT
        try:
            self._primary = primary = self._known_target() or await self._target()
            self._is_single = self._fits(primary, statements)
            wire = nodes.take(primary.address) or await nodes.acquire(primary.address, attempts.deadline)
            wire.alarm.set(attempts.deadline.at)
            phase = Phase.BEGIN
            message = await (self._single(wire, primary, *statements[0]) if self._is_single
                             else self._several(wire, primary, statements))  # fmt: skip
            if message is None:
                attempts.abandoned(wire, "it has to go statement by statement")
                self._release(wire)
                return False
            phase = Phase.COMMIT
            await uninterrupted(wire.connection.execute(*message), self._interrupt)
            wire.guards.confirm()
            self._acknowledge(wire)
        except Exception as error:
            return await self._failed(error, phase, wire)
        except BaseException:
            attempts.abandoned(wire, CANCELLED)
            self._drop(wire, CANCELLED)
            raise
        attempts.succeeded(wire)
        self._release(wire)
        if self._interrupted:
            raise asyncio.CancelledError
        return True

    def _fits(self, primary: Primary, statements: Sequence[Statement]) -> bool:
        """Whether the server can do all of it as one statement, acknowledged as the session's own default says."""
        terms = self._terms
        plain = terms.durability is Durability.CRITICAL and terms.isolation is None and _names(primary) is not None
        plain = plain and terms.tenant is None
        if not plain or len(statements) != 1:
            return False
        return self._fenced is not None if terms.key is None else can_carry_a_key(statements[0][0])

    async def _single(self, wire: Wire, primary: Primary, sql: str, args: Sequence[object]) -> Message:
        """A statement with its key or with the fence alone, and the arguments."""
        key = self._terms.key
        if key is None:
            assert self._fenced is not None
            return self._fenced(fence(primary.facts.timeline, _names(primary))), *args
        wire.note(sql)
        (known(wire, sql) or await prepared(wire, sql)).check(args)
        text = with_key(sql, len(args), key.table, primary.facts.timeline, _names(primary))
        return text, *args, key.value, key.request

    async def _several(self, wire: Wire, primary: Primary, statements: Sequence[Statement]) -> Message | None:
        """What does it all, None if nothing can."""
        calls, is_new = [], False
        for sql, args in statements:
            wire.note(sql)
            if (statement := known(wire, sql)) is None:
                statement, is_new = await prepared(wire, sql), True
            calls.append(statement.call(args))
        texts = [call for call in calls if call is not None]
        if is_new and (self._terms.isolation is not None or len(texts) < len(calls)):
            # The driver leaves the transaction open in which it prepared: that has locks, and an isolation of its own.
            await wire.connection.execute("SELECT")
        if len(texts) < len(calls):
            return None
        return (f"{self._opening(wire, primary, yields=False)}{''.join(texts)}COMMIT",)

    async def _failed(self, error: Exception, phase: Phase, wire: Wire | None) -> bool:
        failure = diagnose(error, Phase.BEGIN if is_of_fence(error) else phase, wire)
        if wire is not None:
            await self._clean(wire, failure)
        self.unanswered = failure is not None and failure.outcome is Outcome.UNKNOWN
        if self._interrupted and not self.unanswered:
            raise asyncio.CancelledError from error
        if failure is None and self._may_be_of_key(error):
            return False
        if isinstance(error, asyncpg.InvalidSQLStatementNameError) and wire is not None:
            # Somebody deallocated what was prepared: prepare it again.
            wire.prepared.clear()
            wire.guards.clear()
            failure = AttemptFailure(Phase.BEGIN, FailureKind.CONFLICT, "its prepared statements were gone")
        self._attempts.failed(error, failure, wire, last=self._interrupted)
        return True

    async def _clean(self, wire: Wire, failure: AttemptFailure | None) -> None:
        """Give the connection back as it was, or drop it."""
        if wire.guards.pending is not None:
            self._drop(wire, "it may have prepared its guard")
        elif failure is None or failure.outcome is Outcome.NOT_APPLIED:
            await self._undo(wire, failure)
        else:
            self._release(wire, failure)

    def _may_be_of_key(self, error: Exception) -> bool:
        """Whether the key's own statement failed, or may have: it is taken, or there is no place for it."""
        if self._terms.key is None or not isinstance(error, asyncpg.PostgresError):
            return False
        if self._is_single:
            return True
        if isinstance(error, asyncpg.UndefinedTableError | asyncpg.InvalidSchemaNameError):
            return self._terms.key.table in str(error)
        if isinstance(error, asyncpg.InsufficientPrivilegeError):
            return self._terms.key.table.rpartition(".")[2] in str(error)
        table = str(error.table_name or "")
        return error.schema_name == "outlive" and (table.startswith("keys") or table == "text_keys")


def _names(primary: Primary) -> str | None:
    """The synchronous setting that has to be in force, None if none is."""
    return primary.synchronous.names if isinstance(primary.synchronous, InForce) else None

"""Several statements in one transaction and one round trip.

Each statement is prepared once on each connection. From then on the fence, the key and all of them are sent at once:
see `pipeline.py`. Where a class or an isolation has to be set, or a statement is of an uncommon kind, it is a text
that holds BEGIN, an EXECUTE for each, and COMMIT. What can't be said like that goes the ordinary way, statement by
statement: an argument without an exact constant, a key that is taken, a key's table or day that is missing.

A single statement with a key needs no other beside it: see `plan/single.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import asyncpg

from outlive.client import pipeline, running
from outlive.client.attempt import Attempt, Terms
from outlive.client.attempts import Attempts
from outlive.client.failures import diagnose, is_of_fence
from outlive.client.nodes import Nodes
from outlive.client.plan.begin import fence
from outlive.client.plan.retry import AttemptFailure, FailureKind, Phase
from outlive.client.plan.single import can_carry_a_key, with_key
from outlive.client.plan.statements import Statement as Statement
from outlive.client.plan.synchronous import InForce
from outlive.client.plan.topology import Primary
from outlive.client.prepared import Prepared, known, prepared
from outlive.client.transaction import Transaction
from outlive.client.uninterrupted import uninterrupted
from outlive.client.wire import CANCELLED, Wire
from outlive.model.durability import Durability, Receipt
from outlive.model.outcome import Outcome

Fenced = Callable[[str], str]
"""Makes the text of a statement that has the fence in it."""

Sending = Coroutine[Any, Any, Any]
"""The driver's call that sends all of it and waits for its end."""

Call = tuple[Prepared, Sequence[object]]
"""A statement that is prepared, and its arguments."""


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
            sending = await (self._single(wire, primary, *statements[0]) if self._is_single
                             else self._several(wire, primary, statements))  # fmt: skip
            if sending is None:
                attempts.abandoned(wire, "it has to go statement by statement")
                self._release(wire)
                return False
            phase = Phase.COMMIT
            await uninterrupted(sending, self._interrupt)
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
        """Whether the server can do all of it as one statement."""
        if len(statements) != 1 or not self._is_as_session(primary):
            return False
        return self._fenced is not None if self._terms.key is None else can_carry_a_key(statements[0][0])

    def _is_as_session(self, primary: Primary) -> bool:
        """Whether it is acknowledged and isolated as the session's own default says, so that nothing has to be set."""
        terms = self._terms
        plain = terms.durability is Durability.CRITICAL and terms.isolation is None and terms.tenant is None
        return plain and _names(primary) is not None

    async def _single(self, wire: Wire, primary: Primary, sql: str, args: Sequence[object]) -> Sending:
        """A statement with its key or with the fence alone, and the arguments."""
        sending: Sending
        key = self._terms.key
        if key is None:
            assert self._fenced is not None
            sending = wire.connection.execute(self._fenced(fence(primary.facts.timeline, _names(primary))), *args)
            return sending
        wire.note(sql)
        (known(wire, sql) or await prepared(wire, sql)).check(args)
        text = with_key(sql, len(args), key.table, primary.facts.timeline, _names(primary))
        sending = wire.connection.execute(text, *args, key.value, key.request)
        return sending

    async def _several(self, wire: Wire, primary: Primary, statements: Sequence[Statement]) -> Sending | None:
        """What does it all, None if nothing can."""
        calls: list[Call] = []
        is_new = False
        for sql, args in statements:
            wire.note(sql)
            if (statement := known(wire, sql)) is None:
                statement, is_new = await prepared(wire, sql), True
            calls.append((statement, args))
        return self._pipeline(wire, primary, statements, calls) or await self._text(wire, primary, calls, is_new)

    def _pipeline(
        self, wire: Wire, primary: Primary, statements: Sequence[Statement], calls: Sequence[Call]
    ) -> Sending | None:
        """The statements as they are prepared, None if they have to be a text: the first one prepares the guard."""
        if not (
            self._is_as_session(primary) and wire.speaks_utf8 and all(pipeline.is_plain(sql) for sql, _ in statements)
        ):
            return None
        guard = wire.guards.known(self._guard(primary, yields=False))
        messages = None if guard is None else pipeline.before_last(calls)
        if guard is None or messages is None:
            return None
        last, args = calls[-1]
        last.check(args)
        return pipeline.send(wire, pipeline.guarding(guard, self._terms.key) + messages, last, args)

    async def _text(self, wire: Wire, primary: Primary, calls: Sequence[Call], is_new: bool) -> Sending | None:
        """BEGIN, the statements and COMMIT as one text, None if an argument has no constant."""
        found = [statement.call(args) for statement, args in calls]
        texts = [text for text in found if text is not None]
        if is_new and (self._terms.isolation is not None or len(texts) < len(calls)):
            # The driver leaves the transaction open in which it prepared: that has locks, and an isolation of its own.
            await wire.connection.execute("SELECT")
        if len(texts) < len(calls):
            return None
        text = f"{self._opening(wire, primary, yields=False)}{''.join(texts)}COMMIT"
        sending: Sending = wire.connection.execute(text)
        return sending

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
            await self._undo(wire)
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
        table = str(error.table_name or "")
        return error.schema_name == "outlive" and (table.startswith("keys") or table == "text_keys")


def _names(primary: Primary) -> str | None:
    """The synchronous setting that has to be in force, None if none is."""
    return primary.synchronous.names if isinstance(primary.synchronous, InForce) else None

"""A transaction on the primary: one attempt at it, and the loop that makes the next one.

    async for tx in db.transaction():
        async with tx:
            await tx.execute("insert into turns values ($1)", turn)

BEGIN is tried until it succeeds or the budget is spent. A failure inside the block rolls back, and the block is
run again. A failure of the COMMIT itself is raised: Python does not tell a block that ended from one left by
`return`, so running it again can't be promised. `Cluster.run` holds the whole function and retries both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import asyncpg

from outlive.client.attempts import Attempts
from outlive.client.failures import UNREPLICATED, AttemptError, diagnose
from outlive.client.nodes import Nodes
from outlive.client.plan.begin import Isolation, begin_message
from outlive.client.plan.retry import AttemptFailure, FailureKind, Phase
from outlive.client.plan.synchronous import InForce, NotInForce
from outlive.client.plan.topology import Primary
from outlive.client.uninterrupted import uninterrupted
from outlive.client.wire import DEADLINE_CAME, Wire
from outlive.errors import ConfigurationError, TransactionError
from outlive.model.durability import Durability, Receipt
from outlive.model.outcome import Outcome
from outlive.system import monotonic


@dataclass(frozen=True, slots=True)
class Terms:
    """What a transaction has to keep; `degraded` lets a critical one go on without a synchronous standby."""

    durability: Durability
    isolation: Isolation | None
    degraded: bool


class Transaction:
    """One attempt at a transaction. `receipt` is set once it is committed.

    Its session serves others afterwards: set what a statement needs with `set local`, not with `set`.
    """

    __slots__ = ("_attempts", "_interrupted", "_nodes", "_primary", "_terms", "_timer", "_wire", "entered", "receipt")

    def __init__(self, nodes: Nodes, terms: Terms, attempts: Attempts) -> None:
        self.receipt: Receipt | None = None
        self.entered = False
        self._interrupted = False
        self._nodes = nodes
        self._terms = terms
        self._attempts = attempts
        self._wire: Wire | None = None
        self._primary: Primary | None = None
        self._timer: asyncio.TimerHandle | None = None

    def fetch(self, sql: str, *args: object) -> Awaitable[list[asyncpg.Record]]:
        """All rows of a query."""
        return self._connection().fetch(sql, *args)  # type: ignore[no-any-return]

    def fetchrow(self, sql: str, *args: object) -> Awaitable[asyncpg.Record | None]:
        """The first row of a query."""
        return self._connection().fetchrow(sql, *args)  # type: ignore[no-any-return]

    def fetchval(self, sql: str, *args: object) -> Awaitable[Any]:
        """The first column of the first row of a query."""
        return self._connection().fetchval(sql, *args)  # type: ignore[no-any-return]

    def execute(self, sql: str, *args: object) -> Awaitable[str]:
        """Execute a statement; the answer is its command tag."""
        return self._connection().execute(sql, *args)  # type: ignore[no-any-return]

    def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> Awaitable[None]:
        """Execute a statement once for each row of arguments."""
        return self._connection().executemany(sql, rows)  # type: ignore[no-any-return]

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if error is None:
            await self.commit(last=True)
            return False
        await self.roll_back(error)
        return True

    async def begin(self) -> None:
        """Begin on the primary, as often as it takes within the budget."""
        if self.entered:
            raise ConfigurationError("this attempt was entered before", hint="Take a new one from the loop.")
        self.entered = True
        while self._wire is None:
            await self._attempts.next()
            await self._try_begin()

    async def _try_begin(self) -> None:
        deadline = self._attempts.deadline
        wire = None
        try:
            primary = await self._target()
            wire = await self._nodes.acquire(primary.address, deadline)
            remaining_s = deadline.remaining_s(monotonic())
            self._timer = asyncio.get_running_loop().call_later(remaining_s, wire.cut, DEADLINE_CAME)
            await wire.connection.execute(self._begin_message(primary))
        except Exception as error:
            failure = diagnose(error, Phase.CONNECT if wire is None else Phase.BEGIN, wire)
            self._drop(wire, str(error))
            self._attempts.failed(error, failure, wire)
        except BaseException:
            self._drop(wire, "the caller was cancelled")
            raise
        else:
            self._wire, self._primary = wire, primary

    async def _target(self) -> Primary:
        deadline = self._attempts.deadline
        if self._terms.durability is Durability.CRITICAL and not self._terms.degraded:
            return await self._nodes.synchronous_primary(deadline)
        return await self._nodes.primary(deadline)

    def _begin_message(self, primary: Primary) -> str:
        level, names = self._terms.durability.synchronous_commit, None
        if self._terms.durability is Durability.CRITICAL:
            match primary.synchronous:
                case InForce():
                    names = primary.synchronous.names
                case NotInForce():
                    # `on` could wait for a standby forever; the caller allowed less, and the receipt says so.
                    level = "local"
        return begin_message(level, primary.facts.timeline, names, self._terms.isolation)

    async def commit(self, *, last: bool = False) -> bool:
        """Commit and set the receipt; False if it failed and another attempt is due, which `last` rules out.

        Raises:
            CommitUnknownError: the connection was lost meanwhile, or no standby confirmed.
        """
        wire = self._held()
        try:
            await self._commit(wire)
        except Exception as error:
            failure = diagnose(error, Phase.COMMIT, wire)
            self._release(wire, failure)
            if self._interrupted and (failure is None or failure.outcome is Outcome.NOT_APPLIED):
                raise asyncio.CancelledError from error
            self._attempts.failed(error, failure, wire, last=last)
            return False
        self._release(wire)
        if self._interrupted:
            raise asyncio.CancelledError
        return True

    async def _commit(self, wire: Wire) -> None:
        """Send COMMIT and judge the answer, whether or not the task is cancelled meanwhile."""
        if not wire.is_open:
            reason = wire.cut_reason or "the connection was lost before COMMIT was sent"
            raise AttemptError(AttemptFailure(Phase.BODY, FailureKind.LOST, reason))
        tag = await uninterrupted(wire.connection.execute("COMMIT"), self._interrupt)
        if tag != "COMMIT":
            raise TransactionError("rolled back: one of its statements had failed, and the error was swallowed")
        if wire.unreplicated:
            raise AttemptError(AttemptFailure(Phase.COMMIT, FailureKind.UNREPLICATED, UNREPLICATED))
        self.receipt = self._receipt()

    def _interrupt(self) -> None:
        self._interrupted = True

    async def roll_back(self, error: BaseException) -> None:
        """Undo after `error`: returns if another attempt is due, else raises the caller's error."""
        wire = self._held()
        if not isinstance(error, Exception):
            # Cancelled: nothing may be awaited any more, and the server rolls back as the connection ends.
            self._drop(wire, "the caller was cancelled")
            raise error
        failure = diagnose(error, Phase.BODY, wire)
        await self._undo(wire)
        self._attempts.failed(error, failure, wire)

    async def _undo(self, wire: Wire) -> None:
        try:
            await wire.connection.execute("ROLLBACK")
        except BaseException as error:
            self._drop(wire, "it could not be rolled back")
            if not isinstance(error, Exception):
                raise
        else:
            self._release(wire)

    def _receipt(self) -> Receipt:
        primary = self._primary
        assert primary is not None
        return Receipt(
            durability=self._terms.durability,
            node=str(primary.address),
            timeline=primary.facts.timeline,
            lsn=None,
            synchronous_standbys=primary.synchronous.standbys if isinstance(primary.synchronous, InForce) else (),
            attempts=self._attempts.number,
        )

    def _connection(self) -> asyncpg.Connection:
        return self._held().connection

    def _held(self) -> Wire:
        if self._wire is None:
            raise ConfigurationError(
                "the transaction is not open",
                hint="Use it inside its `async with` block, and keep nothing of it after.",
            )
        return self._wire

    def _drop(self, wire: Wire | None, reason: str) -> None:
        if wire is not None:
            wire.cut(reason)
            self._release(wire)

    def _release(self, wire: Wire, failure: AttemptFailure | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wire = None
        self._nodes.release(wire, failure)


class Transactions:
    """The attempts at one transaction, to be looped over with `async for`."""

    __slots__ = ("_attempts", "_current", "_nodes", "_terms")

    def __init__(self, nodes: Nodes, terms: Terms, attempts: Attempts) -> None:
        self._nodes = nodes
        self._terms = terms
        self._attempts = attempts
        self._current: Transaction | None = None

    def __aiter__(self) -> Self:
        if self._current is not None:
            raise ConfigurationError("this transaction was looped over before", hint="Call `transaction()` again.")
        return self

    async def __anext__(self) -> Transaction:
        if self._current is not None and self._current.receipt is not None:
            raise StopAsyncIteration
        if self._current is not None and not self._current.entered:
            raise ConfigurationError("the attempt was not entered", hint="Write `async with tx:` inside the loop.")
        self._current = Transaction(self._nodes, self._terms, self._attempts)
        return self._current

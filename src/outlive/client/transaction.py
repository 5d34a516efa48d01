"""One attempt at a transaction on the primary: begun, committed or rolled back, and judged.

`transactions.py` loops over the attempts for a block, `running.py` for a function.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import asyncpg

from outlive.client import claims
from outlive.client.attempts import Attempts
from outlive.client.failures import UNREPLICATED, AttemptError, diagnose
from outlive.client.nodes import Nodes
from outlive.client.plan.begin import Isolation, begin_message, tenant_setting
from outlive.client.plan.keys import Done, Key
from outlive.client.plan.retry import AttemptFailure, FailureKind, Phase
from outlive.client.plan.synchronous import InForce, NotInForce
from outlive.client.plan.topology import Primary
from outlive.client.receipts import gathered
from outlive.client.uninterrupted import uninterrupted
from outlive.client.wire import CANCELLED, DEADLINE_CAME, Wire
from outlive.errors import ConfigurationError, TransactionError
from outlive.model.durability import Durability, Receipt
from outlive.model.outcome import Outcome
from outlive.system import monotonic, now_utc


@dataclass(frozen=True, slots=True)
class Terms:
    """What a transaction has to keep; `degraded` lets a critical one go on without a synchronous standby.

    `tenant` is the one whose rows it sees, where tenants are kept apart.
    """

    durability: Durability
    isolation: Isolation | None
    degraded: bool
    key: Key | None = None
    tenant: str | None = None


class Transaction:
    """One attempt at a transaction. `receipt` is set once it is committed.

    Its session serves others afterwards. What a statement needs is best set with `set local`; after a `set`, and after
    whatever else a session keeps, it is reset before it goes on.
    """

    __slots__ = (
        "_after_commit", "_attempts", "_interrupted", "_nodes", "_primary", "_terms", "_timer", "_wire",
        "done", "entered", "receipt", "unanswered",
    )  # fmt: skip

    def __init__(self, nodes: Nodes, terms: Terms, attempts: Attempts) -> None:
        self.receipt: Receipt | None = None
        self.entered = False
        self.unanswered = False
        """Whether its COMMIT went out and nobody knows what became of it."""
        self.done: Done | None = None
        """Set by `begin` if the key's request was applied before; then only `commit` is left to do."""
        self._after_commit: list[Callable[[], object]] = []
        self._interrupted = False
        self._nodes = nodes
        self._terms = terms
        self._attempts = attempts
        self._wire: Wire | None = None
        self._primary: Primary | None = None
        self._timer: asyncio.TimerHandle | None = None

    def fetch(self, sql: str, *args: object) -> Awaitable[list[asyncpg.Record]]:
        """All rows of a query."""
        return self._connection(sql).fetch(sql, *args)  # type: ignore[no-any-return]

    def fetchrow(self, sql: str, *args: object) -> Awaitable[asyncpg.Record | None]:
        """The first row of a query."""
        return self._connection(sql).fetchrow(sql, *args)  # type: ignore[no-any-return]

    def fetchval(self, sql: str, *args: object) -> Awaitable[Any]:
        """The first column of the first row of a query."""
        return self._connection(sql).fetchval(sql, *args)  # type: ignore[no-any-return]

    def execute(self, sql: str, *args: object) -> Awaitable[str]:
        """Execute a statement; the answer is its command tag."""
        return self._connection(sql).execute(sql, *args)  # type: ignore[no-any-return]

    def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> Awaitable[None]:
        """Execute a statement once for each row of arguments."""
        return self._connection(sql).executemany(sql, rows)  # type: ignore[no-any-return]

    def copy_records_to_table(
        self,
        table: str,
        *,
        records: Iterable[Sequence[object]],
        columns: Sequence[str] | None = None,
        schema_name: str | None = None,
    ) -> Awaitable[str]:
        """COPY rows into a table; the answer is the command tag."""
        copy = self._held().connection.copy_records_to_table
        return copy(table, records=records, columns=columns, schema_name=schema_name)  # type: ignore[no-any-return]

    def copy_to_table(self, table: str, /, *, source: Any, **options: Any) -> Awaitable[str]:
        """COPY the content of a file, or what an asynchronous iterator of bytes gives, into a table; asyncpg's options.

        A retry reads `source` again, so it is to be made anew in the block.
        """
        return self._held().connection.copy_to_table(table, source=source, **options)  # type: ignore[no-any-return]

    def copy_from_table(self, table: str, /, *, output: Any, **options: Any) -> Awaitable[str]:
        """COPY a table's content to a file or a coroutine function of bytes; asyncpg's options."""
        return self._held().connection.copy_from_table(table, output=output, **options)  # type: ignore[no-any-return]

    def copy_from_query(self, sql: str, /, *args: object, output: Any, **options: Any) -> Awaitable[str]:
        """COPY a query's result to a file or a coroutine function of bytes; asyncpg's options."""
        connection = self._connection(sql)
        return connection.copy_from_query(sql, *args, output=output, **options)  # type: ignore[no-any-return]

    def after_commit(self, callback: Callable[[], object]) -> None:
        """Call `callback()` once the commit is acknowledged, and await what it returns if that can be awaited.

        Callbacks of an attempt that was rolled back are dropped with it. They run once at most: not if the program
        dies, or its task is cancelled, between the commit and the callback.
        """
        self._after_commit.append(callback)

    async def __aenter__(self) -> Self:
        if self.entered:
            raise ConfigurationError("this attempt was entered before", hint="Take a new one from the loop.")
        self.entered = True
        if self._wire is None:
            await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if error is None:
            await self.commit(last=True)
            await self.committed()
            return False
        await self.roll_back(error)
        return True

    async def begin(self) -> None:
        """Begin on the primary, as often as it takes within the budget."""
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
            self.done = await claims.begin(wire, self._begin_message(primary), self._terms.key)
        except Exception as error:
            failure = diagnose(error, Phase.CONNECT if wire is None else Phase.BEGIN, wire)
            self._drop(wire, str(error))
            self._attempts.failed(error, failure, wire)
        except BaseException:
            self._attempts.abandoned(wire, CANCELLED)
            self._drop(wire, CANCELLED)
            raise
        else:
            self._wire, self._primary = wire, primary
            if self._terms.key is not None and self.done is None:
                self._attempts.resolved()

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
        message = begin_message(level, primary.facts.timeline, names, self._terms.isolation)
        return message if self._terms.tenant is None else f"{message};{tenant_setting(self._terms.tenant)}"

    async def commit(self, result: str | None = None, *, last: bool = False) -> bool:
        """Commit and set the receipt; False if it failed and another attempt is due, which `last` rules out.

        `result` is kept with the key, as JSON text.

        Raises:
            CommitUnknownError: the connection was lost meanwhile, or no standby confirmed.
        """
        wire = self._held()
        try:
            await self._commit(wire, result)
        except Exception as error:
            failure = diagnose(error, Phase.COMMIT, wire)
            self._release(wire, failure)
            self.unanswered = failure is not None and failure.outcome is Outcome.UNKNOWN
            if self._interrupted and not self.unanswered:
                self._attempts.abandoned(wire, CANCELLED)
                raise asyncio.CancelledError from error
            self._attempts.failed(error, failure, wire, last=last or self._interrupted)
            return False
        self._release(wire)
        self._attempts.succeeded(wire)
        if self._interrupted:
            raise asyncio.CancelledError
        return True

    async def _commit(self, wire: Wire, result: str | None) -> None:
        """Send COMMIT and judge the answer, whether or not the task is cancelled meanwhile."""
        if not wire.is_open:
            reason = wire.cut_reason or "the connection was lost before COMMIT was sent"
            raise AttemptError(AttemptFailure(Phase.BODY, FailureKind.LOST, reason))
        message = self._terms.key.commit(result) if self._terms.key is not None else "COMMIT"
        try:
            tag = await uninterrupted(wire.connection.execute(message), self._interrupt)
        except asyncpg.InFailedSQLTransactionError:
            tag = "ROLLBACK"
        if tag != "COMMIT":
            raise TransactionError("rolled back: one of its statements had failed, and the error was swallowed")
        if wire.unreplicated:
            raise AttemptError(AttemptFailure(Phase.COMMIT, FailureKind.UNREPLICATED, UNREPLICATED))
        self.receipt = self._receipt()

    def _interrupt(self) -> None:
        self._interrupted = True

    async def committed(self) -> None:
        """Run the callbacks, once the commit is known to stand."""
        callbacks, self._after_commit = self._after_commit, []
        for callback in callbacks:
            try:
                outcome = callback()
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception as error:
                error.add_note("The transaction is committed: this error is of a callback that follows it.")
                raise

    async def roll_back(self, error: BaseException) -> None:
        """Undo after `error`: returns if another attempt is due, else raises the caller's error."""
        wire = self._held()
        if not isinstance(error, Exception):
            # Cancelled: nothing may be awaited any more, and the server rolls back as the connection ends.
            self._attempts.abandoned(wire, CANCELLED)
            self._drop(wire, CANCELLED)
            raise error
        failure = diagnose(error, Phase.BODY, wire)
        await self._undo(wire)
        self._attempts.failed(error, failure, wire)

    async def undo(self) -> None:
        """Roll back, without an error that asked for it."""
        self._attempts.abandoned(self._held(), "it was given up")
        await self._undo(self._held())

    async def _undo(self, wire: Wire) -> None:
        try:
            await wire.connection.execute("ROLLBACK")
        except BaseException as error:
            self._drop(wire, "it could not be rolled back")
            if not isinstance(error, Exception):
                raise
        else:
            self._release(wire)

    @property
    def is_open(self) -> bool:
        """Whether it has begun and not ended."""
        return self._wire is not None

    def belongs_to(self, nodes: Nodes) -> bool:
        """Whether it is of the client that watches these nodes."""
        return self._nodes is nodes

    def _receipt(self) -> Receipt:
        primary = self._primary
        assert primary is not None
        receipt = Receipt(
            durability=self._terms.durability,
            node=str(primary.address),
            timeline=primary.facts.timeline,
            lsn=None,
            synchronous_standbys=primary.synchronous.standbys if isinstance(primary.synchronous, InForce) else (),
            attempts=self._attempts.number,
            replayed=self.done is not None,
            system_identifier=primary.facts.system_identifier,
            acknowledged_at=now_utc(),
        )
        return gathered(receipt)

    def _connection(self, sql: str) -> asyncpg.Connection:
        wire = self._held()
        wire.note(sql)
        return wire.connection

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

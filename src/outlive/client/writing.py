"""The writes of a client: statements, transactions, runs, batches and writers, all of them on the primary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Concatenate, TypeVar
from uuid import UUID

from outlive.client import options, running, statement
from outlive.client.attempts import Attempts
from outlive.client.options import DEFAULT_TIMEOUT_S, DurabilityName
from outlive.client.plan.begin import Isolation
from outlive.client.plan.requests import NO_REQUEST, request_hash, statements_hash
from outlive.client.reading import Reading
from outlive.client.transaction import Transaction
from outlive.client.transactions import Transactions
from outlive.model.durability import Durability, Receipt

if TYPE_CHECKING:
    from outlive.client.batch import Statement
    from outlive.client.coalesce import Writer

T = TypeVar("T")


class Writing(Reading):
    """A client's writes; a writer reads what its table has."""

    async def execute(
        self, sql: str, *args: object, idempotent: bool = False, timeout: float = DEFAULT_TIMEOUT_S
    ) -> str:
        """Execute one statement on the primary, committed by itself; the answer is its command tag.

        It is critical; that a synchronous standby is in force is known from the latest probe, a fraction of a second
        old at most, whereas a transaction asks the server itself.

        Raises:
            CommitUnknownError: the connection was lost while it was under way, and it is not `idempotent`.
            DurabilityNotMetError: no synchronous standby is in force.
        """
        if self._limits.pooler or self._tenant is not None:
            # What it is acknowledged by, and for whom it is, can be said in a transaction only.
            return await self.run(_execute, sql, *args, idempotent=idempotent, timeout=timeout)
        nodes = self._running()
        attempts = Attempts(nodes.monitor, options.positive("timeout", timeout), idempotent=idempotent)
        return await statement.execute(
            nodes, attempts, lambda connection: connection.execute(sql, *args), sql, degraded=self._degraded
        )

    async def executemany(
        self,
        sql: str,
        rows: Iterable[Sequence[object]],
        *,
        idempotent: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Execute a statement once for each row of arguments, all of them in one transaction; otherwise as `run`."""
        await self.run(_executemany, sql, list(rows), idempotent=idempotent, timeout=timeout)

    async def copy_records_to_table(
        self,
        table: str,
        *,
        records: Iterable[Sequence[object]],
        columns: Sequence[str] | None = None,
        schema_name: str | None = None,
        idempotent: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> str:
        """COPY rows into a table, all of them in one transaction; otherwise as `run`.

        They are held in memory, as a retry needs them again. `tx.copy_records_to_table` takes them as they come.
        """
        options_of_copy = (list(records), columns, schema_name)
        return await self.run(_copy_records, table, *options_of_copy, idempotent=idempotent, timeout=timeout)

    def transaction(
        self,
        *,
        key: UUID | str | None = None,
        durability: Durability | DurabilityName = Durability.CRITICAL,
        isolation: Isolation | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Transactions:
        """A transaction on the primary, as a loop over its attempts.

            async for tx in db.transaction():
                async with tx:
                    await tx.execute("insert into turns values ($1)", turn)

        The `async with` is all that the loop's body holds: what follows it runs after a failed attempt too. The
        block is run again after a conflict, a lost connection or a demotion, within `timeout` seconds in all.
        A failed COMMIT is raised, not repeated; `run` can repeat it. With a `key` whose transaction was committed
        before, the loop has no round at all; and `CommitUnknownError.resolve()` tells what became of a lost COMMIT.

        Raises:
            CommitUnknownError: the connection was lost during COMMIT.
            RetryBudgetExceededError: attempts or time ran out.
            KeyReusedError: the key was used for a `run` or a batch.
            KeyExpiredError: the key is older than keys are kept.
            SchemaError: there is no table for keys; `outlive migrate` makes it.
        """
        nodes = self._running()
        terms = self._terms(durability, isolation, None if key is None else self._key(key, NO_REQUEST))
        resolver = None if key is None else partial(running.resolve, nodes, terms)
        timeout_s = options.positive("timeout", timeout)
        return Transactions(nodes, terms, Attempts(nodes.monitor, timeout_s, idempotent=False, resolver=resolver))

    async def run(
        self,
        fn: Callable[Concatenate[Transaction, ...], Awaitable[T]],
        *args: object,
        key: UUID | str | None = None,
        durability: Durability | DurabilityName = Durability.CRITICAL,
        isolation: Isolation | None = None,
        idempotent: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
        on_receipt: Callable[[Receipt], object] | None = None,
    ) -> T:
        """Run `fn(tx, *args)` in a transaction on the primary and return what it returned.

        `fn` runs again after each failure that leaves nothing applied, within `timeout` seconds in all; what it does
        outside the database is done again too. A COMMIT of unknown outcome is repeated only if `idempotent`, or with a
        `key`: then it is applied once, however often and by whomever it is asked for, and what it returned is stored
        as JSON and returned each time. `on_receipt` is called with the receipt of the commit.

        Raises:
            CommitUnknownError: the connection was lost during COMMIT, with no `key`, and `fn` is not `idempotent`.
            RetryBudgetExceededError: attempts or time ran out.
            KeyReusedError: the key was used for another function, or for other arguments.
            KeyExpiredError: the key is older than keys are kept.
            UnstorableError: `fn` returned what JSON has no form for; nothing is applied.
            SchemaError: there is no table for keys; `outlive migrate` makes it.
            StateError: this role may not take keys.
        """
        nodes = self._running()
        running.refuse_nesting(nodes)
        keyed = None if key is None else self._key(key, request_hash(fn, args))
        terms = self._terms(durability, isolation, keyed)
        timeout_s = options.positive("timeout", timeout)
        attempts = Attempts(nodes.monitor, timeout_s, idempotent=idempotent or key is not None)
        return await running.run(nodes, terms, attempts, lambda tx: fn(tx, *args), on_receipt)

    async def batch(
        self,
        statements: Iterable[str | Statement],
        *,
        key: UUID | str | None = None,
        durability: Durability | DurabilityName = Durability.CRITICAL,
        isolation: Isolation | None = None,
        idempotent: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Receipt:
        """Several statements in one transaction, and in one round trip; each is `"sql"` or `("sql", [argument, ...])`.

        They are for writing: rows that they return are dropped. The first time that a connection meets a statement
        takes a round trip more; an argument whose text form is not surely exact (an interval, a type of your own)
        makes the batch go statement by statement. All else is as with `run`.

        Raises:
            CommitUnknownError: the connection was lost, with no `key`, and the batch is not `idempotent`.
            RetryBudgetExceededError: attempts or time ran out.
            KeyReusedError: the key was used for something else, or for other statements or arguments.
        """
        from outlive.client import batch as batches  # so that a plain import stays quick

        nodes = self._running()
        running.refuse_nesting(nodes)
        asked = batches.checked(statements)
        keyed = None if key is None else self._key(key, statements_hash(asked))
        terms = self._terms(durability, isolation, keyed)
        timeout_s = options.positive("timeout", timeout)
        attempts = Attempts(nodes.monitor, timeout_s, idempotent=idempotent or key is not None)
        return await batches.batch(nodes, terms, attempts, asked)

    async def writer(
        self,
        table: str,
        columns: Sequence[str],
        *,
        durability: Durability | DurabilityName = Durability.CRITICAL,
        exactly_once: bool = False,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Writer:
        """A writer that appends rows to a table, and lets rows that come together share a commit.

            async with await db.writer("events", ["at", "body"]) as writer:
                receipt = await writer.append(at, body)

        `table` is a name as SQL writes it (`agents.events`), `columns` are plain names. Rows of one task keep their
        order, as it waits for each. With `exactly_once`, lost answers are found out by a key for each group.

        Raises:
            ConfigurationError: there is no such table or column.
        """
        from outlive.client import coalesce  # so that a plain import stays quick

        nodes = self._running()
        known = {row["name"]: row for row in await self.fetch(coalesce.COLUMNS, table, read="strong", timeout=timeout)}
        target = coalesce.target(table, columns, known)
        terms = self._terms(durability, None)
        timeout_s = options.positive("timeout", timeout)
        return coalesce.Writer(nodes, terms, target, exactly_once=exactly_once, timeout_s=timeout_s)


async def _execute(tx: Transaction, sql: str, *args: object) -> str:
    return await tx.execute(sql, *args)


async def _executemany(tx: Transaction, sql: str, rows: Sequence[Sequence[object]]) -> None:
    await tx.executemany(sql, rows)


async def _copy_records(
    tx: Transaction,
    table: str,
    records: Sequence[Sequence[object]],
    columns: Sequence[str] | None,
    schema_name: str | None,
) -> str:
    return await tx.copy_records_to_table(table, records=records, columns=columns, schema_name=schema_name)

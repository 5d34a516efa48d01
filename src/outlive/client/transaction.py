"""A transaction as its caller has it: statements, what follows the commit, and the block that it is.

`attempt.py` begins and ends it, `transactions.py` loops over the attempts for a block, `running.py` for a function.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import asyncpg

from outlive.client.attempt import Attempt, Terms
from outlive.client.attempts import Attempts
from outlive.client.nodes import Nodes
from outlive.errors import ConfigurationError


class Transaction(Attempt):
    """One attempt at a transaction. `receipt` is set once it is committed.

    Its session serves others afterwards. What a statement needs is best set with `set local`; after a `set`, and after
    whatever else a session keeps, it is reset before it goes on.
    """

    __slots__ = ("_after_commit", "entered")

    def __init__(self, nodes: Nodes, terms: Terms, attempts: Attempts) -> None:
        super().__init__(nodes, terms, attempts)
        self.entered = False
        self._after_commit: list[Callable[[], object]] = []

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

    def _connection(self, sql: str) -> asyncpg.Connection:
        wire = self._held()
        wire.note(sql)
        return wire.connection

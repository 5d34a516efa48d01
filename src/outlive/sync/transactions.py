"""Transactions and writers without asyncio."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from outlive.client.coalesce import Writer
from outlive.client.transaction import Transaction
from outlive.client.transactions import Transactions
from outlive.sync.faces import Seen, through
from outlive.sync.portal import Face


class SyncTransaction(Face[Transaction]):
    """One attempt at a transaction, to be entered with `with`. See `outlive.Transaction`."""

    fetch = through(Transaction.fetch)
    fetchrow = through(Transaction.fetchrow)
    fetchval = through(Transaction.fetchval)
    execute = through(Transaction.execute)
    executemany = through(Transaction.executemany)
    copy_records_to_table = through(Transaction.copy_records_to_table, as_they_come=True)
    copy_to_table = through(Transaction.copy_to_table)
    copy_from_table = through(Transaction.copy_from_table)
    copy_from_query = through(Transaction.copy_from_query)

    receipt = Seen(Transaction, lambda tx: tx.receipt, "What the commit got; None before it.")

    def after_commit(self, callback: Callable[[], object]) -> None:
        """See `outlive.Transaction.after_commit`; `callback` is called on the client's thread."""
        self._inner.after_commit(callback)

    def __enter__(self) -> Self:
        self._portal.call(self._inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return self._portal.leave(self._inner, kind, error, traceback)


class SyncTransactions(Face[Transactions]):
    """The attempts at one transaction, to be looped over with `for`."""

    _next = through(Transactions.__anext__)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> SyncTransaction:
        try:
            return SyncTransaction(self._portal, self._next())
        except StopAsyncIteration:
            raise StopIteration from None


class SyncWriter(Face[Writer]):
    """A coalescing writer for programs without asyncio: rows of threads that append at once go together."""

    append = through(Writer.append)
    close = through(Writer.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

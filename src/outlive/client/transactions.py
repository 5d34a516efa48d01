"""A transaction on the primary as a loop over the attempts at it.

    async for tx in db.transaction():
        async with tx:
            await tx.execute("insert into turns values ($1)", turn)

BEGIN is tried until it succeeds or the budget is spent. A failure inside the block rolls back, and the block is
run again. A failure of the COMMIT itself is raised: Python does not tell a block that ended from one left by
`return`, so running it again can't be promised. `Cluster.run` holds the whole function and retries both.
"""

from __future__ import annotations

from typing import Self

from outlive.client.attempt import Terms
from outlive.client.attempts import Attempts
from outlive.client.nodes import Nodes
from outlive.client.transaction import Transaction
from outlive.errors import ConfigurationError
from outlive.model.durability import Receipt


class Transactions:
    """The attempts at one transaction, to be looped over with `async for`.

    With a key whose transaction was committed before, the loop has no round, and `receipt` says so.
    """

    __slots__ = ("_attempts", "_current", "_nodes", "_terms", "receipt")

    def __init__(self, nodes: Nodes, terms: Terms, attempts: Attempts) -> None:
        self._nodes = nodes
        self._terms = terms
        self._attempts = attempts
        self._current: Transaction | None = None
        self.receipt: Receipt | None = None

    def __aiter__(self) -> Self:
        if self._current is not None:
            raise ConfigurationError("this transaction was looped over before", hint="Call `transaction()` again.")
        return self

    async def __anext__(self) -> Transaction:
        if self._current is not None and self._current.is_committed:
            self.receipt = self._current.receipt
            raise StopAsyncIteration
        if self._current is not None and not self._current.entered:
            if self._current.is_open:
                await self._current.undo()
            raise ConfigurationError("the attempt was not entered", hint="Write `async with tx:` inside the loop.")
        self._current = Transaction(self._nodes, self._terms, self._attempts)
        if self._terms.key is not None:
            await self._claim(self._current)
        return self._current

    async def _claim(self, tx: Transaction) -> None:
        """Begin before the block is reached, as a block that was done before must not be reached again."""
        await tx.begin()
        while tx.done is not None:
            if await tx.commit():
                self.receipt = tx.receipt
                raise StopAsyncIteration
            await tx.begin()

"""A function run in a transaction, again and again until it is applied once, or found applied."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar, cast

from outlive.client.attempt import Terms
from outlive.client.attempts import Attempts
from outlive.client.nodes import Nodes
from outlive.client.plan.keys import decode_result, encode_result
from outlive.client.transaction import Transaction
from outlive.errors import ConfigurationError, TransactionError, UnavailableError
from outlive.model.durability import Receipt
from outlive.model.outcome import Outcome

T = TypeVar("T")

_inside: ContextVar[Transaction | None] = ContextVar("outlive_inside", default=None)


def refuse_nesting(nodes: Nodes) -> None:
    """Refuse a `run` inside the function of another one of the same client.

    Raises:
        ConfigurationError: the two would be two transactions, of which one may be applied without the other.
    """
    outer = _inside.get()
    if outer is not None and outer.is_open and outer.belongs_to(nodes):
        raise ConfigurationError(
            "`run` was called inside a function that `run` is running", hint="Use the `tx` that the function was given."
        )


@contextmanager
def inside(tx: Transaction) -> Iterator[None]:
    """Mark what is called within as a part of `tx`."""
    token = _inside.set(tx)
    try:
        yield
    finally:
        _inside.reset(token)


async def run(
    nodes: Nodes,
    terms: Terms,
    attempts: Attempts,
    fn: Callable[[Transaction], Awaitable[T]],
    on_receipt: Callable[[Receipt], object] | None,
) -> T:
    """What `fn` returned: in this call or, under the same key, in an earlier one."""
    unanswered: Transaction | None = None
    while True:
        tx = Transaction(nodes, terms, attempts)
        await tx.begin()
        if tx.done is not None:
            if await tx.commit():
                # Our own commit stands, whose answer was lost: what was to follow it follows now.
                await _ended(tx, unanswered or tx, on_receipt)
                return cast("T", decode_result(tx.done.result))
            continue
        unanswered = None
        try:
            with inside(tx):
                result = await fn(tx)
            text = None if terms.key is None else encode_result(result)
        except BaseException as error:
            await tx.roll_back(error)
            continue
        if await tx.commit(text):
            await _ended(tx, tx, on_receipt)
            # What is returned is what a replay will return: tuples have become lists.
            return result if terms.key is None else cast("T", decode_result(text))
        unanswered = tx if tx.unanswered else None


async def _ended(tx: Transaction, applied: Transaction, on_receipt: Callable[[Receipt], object] | None) -> None:
    if on_receipt is not None and (receipt := tx.receipt) is not None:
        on_receipt(receipt)
    await applied.committed()


async def resolve(nodes: Nodes, terms: Terms, timeout_s: float) -> Outcome:
    """What became of the transaction that had the key of `terms`; UNKNOWN if it can't be told in time.

    Taking the key waits for that transaction, should the server still be at it. If the key is free then, it was
    rolled back; and the key is left free.
    """
    attempts = Attempts(nodes.monitor, timeout_s, idempotent=True)
    try:
        while True:
            tx = Transaction(nodes, terms, attempts)
            await tx.begin()
            if tx.done is None:
                await tx.undo()
                return Outcome.NOT_APPLIED
            if await tx.commit():
                return Outcome.APPLIED
    except (UnavailableError, TransactionError):
        return Outcome.UNKNOWN

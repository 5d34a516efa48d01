"""Receipts of commits: made of what is known without asking, and gathered for whoever wants them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from outlive.client.plan.synchronous import InForce
from outlive.client.plan.topology import Primary
from outlive.model.durability import Durability, Receipt
from outlive.system import now_utc

MAX_GATHERED = 1000

_gathering: ContextVar[deque[Receipt] | None] = ContextVar("outlive_receipts", default=None)


@contextmanager
def receipts() -> Iterator[deque[Receipt]]:
    """Gather the receipt of each commit that is made within, whoever makes it: a store, an adapter, you.

        with outlive.receipts() as made:
            await state.conversations.create("booking")
        receipt = await db.locate(made[-1])

    The latest thousand are kept, the newest last. Rows of a writer have theirs from `append`.
    """
    found: deque[Receipt] = deque(maxlen=MAX_GATHERED)
    token = _gathering.set(found)
    try:
        yield found
    finally:
        _gathering.reset(token)


def is_gathering() -> bool:
    """Whether somebody gathers receipts here."""
    return _gathering.get() is not None


def gathered(receipt: Receipt) -> None:
    """Give the receipt to whoever gathers them here."""
    if (found := _gathering.get()) is not None:
        found.append(receipt)


def gather_statement(primary: Primary, durability: Durability, attempts: int) -> None:
    """Give the receipt of a statement that committed by itself to whoever gathers them here."""
    if is_gathering():
        gathered(made(primary, durability, attempts, now_utc(), replayed=False))


def made(
    primary: Primary, durability: Durability, attempts: int, acknowledged_at: datetime, *, replayed: bool
) -> Receipt:
    """The receipt of a commit on `primary`, as it was known when the transaction began."""
    return Receipt(
        durability=durability,
        node=str(primary.address),
        timeline=primary.facts.timeline,
        lsn=None,
        synchronous_standbys=primary.synchronous.standbys if isinstance(primary.synchronous, InForce) else (),
        attempts=attempts,
        replayed=replayed,
        system_identifier=primary.facts.system_identifier,
        acknowledged_at=acknowledged_at,
    )

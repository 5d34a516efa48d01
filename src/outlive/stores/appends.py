"""Appends of many conversations as one statement; each is checked against its own lease, under its own row's lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import asyncpg

from outlive.client.receipts import gathered, receipts
from outlive.errors import UnstorableError
from outlive.model.durability import Receipt
from outlive.stores.failures import refusal
from outlive.stores.grouping import Grouping
from outlive.stores.queries import queries
from outlive.stores.records import Turn
from outlive.stores.statements import Statements
from outlive.stores.turns import TurnColumns


@dataclass(frozen=True, slots=True)
class Append:
    """Turns for the holder of a conversation's lease, which they renew for `lease_s` seconds."""

    conversation: str
    lease_token: int
    lease_s: float
    columns: TurnColumns


@dataclass(frozen=True, slots=True)
class _Kept:
    """The turns, and the receipt of the commit that they went with."""

    turns: tuple[Turn, ...]
    receipt: Receipt


class Appends:
    """The appends of one client."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._grouping = Grouping[Append, _Kept](self._send)

    async def append(self, append: Append) -> tuple[Turn, ...]:
        """The turns as they are kept; refused alone, whatever it is sent together with."""
        self._statements.refuse_nesting()
        size_bytes = sum(map(len, append.columns.contents))
        kept = await self._grouping.call(append.conversation, append, size_bytes, self._statements.timeout_s)
        gathered(kept.receipt)
        return kept.turns

    async def _send(self, group: Sequence[Append]) -> list[_Kept | Exception]:
        places = [place for place, append in enumerate(group, 1) for _ in append.columns.ids]
        columns = [
            list(chain(*column)) for column in zip(*(append.columns.arguments() for append in group), strict=True)
        ]
        with receipts() as made, _found_by_halves(group):
            rows = await self._statements.write_all(
                queries("conversations")["append"],
                [append.conversation for append in group],
                [append.lease_token for append in group],
                [append.lease_s for append in group],
                places,
                *columns,
            )
        return [_answer(append, row, made[-1]) for append, row in zip(group, rows, strict=True)]


@contextmanager
def _found_by_halves(group: Sequence[Append]) -> Iterator[None]:
    """Give the driver's error out where a value undid a whole group: a refusal of the product's own is everybody's."""
    try:
        yield
    except UnstorableError as error:
        if len(group) > 1 and isinstance(error.__cause__, asyncpg.PostgresError):
            raise error.__cause__ from None
        raise


def _answer(append: Append, row: Mapping[str, Any], receipt: Receipt) -> _Kept | Exception:
    if row["refused"] is not None:
        return refusal(row["refused"], row["refusal"])
    return _Kept(append.columns.kept(row["positions"], row["created_at"]), receipt)

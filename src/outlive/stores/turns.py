"""New turns as the columns that the append takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

from outlive.errors import KeyReusedError, UnstorableError
from outlive.stores.encoding import checked_name, decode, encode
from outlive.stores.records import NewTurn, Turn

MAX_TOKENS = 2**63 - 1
MAX_DOLLARS = Decimal(10) ** 15
MAX_DECIMALS = 50
"""The most digits after the point of an amount: an export of it has to be readable again."""


@dataclass(frozen=True, slots=True)
class TurnColumns:
    """Turns that were found fit to be stored, column by column: one statement takes any number of them."""

    ids: list[str]
    roles: list[str]
    contents: list[str]
    tokens: list[int]
    dollars: list[Decimal]

    @classmethod
    def of(cls, turns: Sequence[NewTurn], max_value_bytes: int) -> TurnColumns:
        """Check every turn before anything is sent.

        Raises:
            UnstorableError: an id, role, content or cost can't be kept as it is.
            KeyReusedError: two of the turns share an id.
        """
        ids = [checked_name(turn.id, "a turn's id") for turn in turns]
        seen: set[str] = set()
        for turn_id in ids:
            if turn_id in seen:
                raise KeyReusedError(f"the turn id {turn_id!r} is given twice in one append")
            seen.add(turn_id)
        return cls(
            ids,
            [checked_name(turn.role, f"the role of the turn {turn.id!r}") for turn in turns],
            [encode(turn.content, f"the content of the turn {turn.id!r}", max_value_bytes) for turn in turns],
            [checked_tokens(turn.tokens, f"the tokens of the turn {turn.id!r}") for turn in turns],
            [checked_dollars(turn.dollars, f"the dollars of the turn {turn.id!r}") for turn in turns],
        )

    def arguments(self) -> tuple[list[str], list[str], list[str], list[int], list[Decimal]]:
        """The columns in the order of the query's parameters."""
        return self.ids, self.roles, self.contents, self.tokens, self.dollars

    def kept(self, positions: Sequence[int], created_at: Sequence[datetime]) -> tuple[Turn, ...]:
        """The turns as the database has them now. Contents are read back from the text that was sent to it."""
        rows = zip(self.ids, positions, self.roles, self.contents, self.tokens, self.dollars, created_at, strict=True)
        return tuple(
            Turn(turn_id, position, role, decode(content), tokens, dollars, at)
            for turn_id, position, role, content, tokens, dollars, at in rows
        )


def checked_tokens(tokens: object, what: str) -> int:
    """A count of tokens that the database can hold."""
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 0 <= tokens <= MAX_TOKENS:
        raise UnstorableError(f"{what} must be a whole number from 0, not {tokens!r}")
    return tokens


def checked_dollars(dollars: object, what: str) -> Decimal:
    """An amount of dollars that the database can hold; a float counts as the number that it prints as."""
    try:
        amount = dollars if isinstance(dollars, Decimal) else Decimal(str(dollars))
    except (InvalidOperation, ValueError):
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= MAX_DOLLARS:
        raise UnstorableError(f"{what} must be an amount from 0 to {MAX_DOLLARS:,}, not {dollars!s:.100}")
    _, digits, exponent = amount.as_tuple()
    if (isinstance(exponent, int) and -exponent > MAX_DECIMALS) or len(digits) > MAX_DECIMALS:
        raise UnstorableError(f"{what} must have {MAX_DECIMALS} digits at most, {dollars!s:.100} has more")
    return amount.copy_abs()

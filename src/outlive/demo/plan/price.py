"""What the simulated model would have cost, worked out from the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from outlive.stores.encoding import encode

CHARACTERS_A_TOKEN = 4
"""A rule of thumb for English text; a real tokenizer counts otherwise."""

DOLLARS_A_PROMPT_TOKEN = Decimal("0.0000025")
DOLLARS_AN_ANSWER_TOKEN = Decimal("0.00001")
"""The price list of a large hosted model of 2024: 2.50 and 10.00 dollars a million tokens."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer took."""

    prompt_tokens: int
    answer_tokens: int

    @property
    def tokens(self) -> int:
        """All tokens that were paid for."""
        return self.prompt_tokens + self.answer_tokens

    @property
    def dollars(self) -> Decimal:
        """Their price."""
        return self.prompt_tokens * DOLLARS_A_PROMPT_TOKEN + self.answer_tokens * DOLLARS_AN_ANSWER_TOKEN


def usage(messages: Sequence[Mapping[str, Any]], position: int) -> Usage:
    """What the message at `position` takes as the answer to all messages before it."""
    return Usage(sum(_tokens(message) for message in messages[:position]), _tokens(messages[position]))


def _tokens(message: Mapping[str, Any]) -> int:
    return -(-len(encode(message, "a message")) // CHARACTERS_A_TOKEN)

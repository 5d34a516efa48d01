"""Turns are checked before anything is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from outlive.errors import KeyReusedError, UnstorableError
from outlive.stores import NewTurn
from outlive.stores.turns import TurnColumns


def test_one_id_twice_in_one_append_is_refused() -> None:
    """Two turns can't be one."""
    with pytest.raises(KeyReusedError, match="'t0' is given twice"):
        TurnColumns.of([NewTurn("t0", "user", "a"), NewTurn("t0", "user", "b")], 1000)


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({"role": ""}, "the role of the turn 't0'"),
        ({"tokens": -1}, "the tokens of the turn 't0' must be a whole number from 0, not -1"),
        ({"tokens": 1.5}, "the tokens of the turn 't0'"),
        ({"tokens": True}, "the tokens of the turn 't0'"),
        ({"dollars": Decimal(-1)}, "the dollars of the turn 't0' must be an amount from 0"),
        ({"dollars": Decimal("NaN")}, "the dollars of the turn 't0'"),
        ({"dollars": "much"}, "the dollars of the turn 't0'"),
        ({"content": "x" * 1000}, "the content of the turn 't0' has 1,002 bytes"),
    ],
)
def test_a_turn_that_can_t_be_kept_is_refused(changes: dict[str, Any], flaw: str) -> None:
    """The error names the turn and what is wrong with it."""
    with pytest.raises(UnstorableError, match=flaw):
        TurnColumns.of([NewTurn(**{"id": "t0", "role": "user", "content": "hi", **changes})], 1000)

"""The check of single writes, with defects that were planted."""

from __future__ import annotations

import pytest

from outlive.history import WritesVerdict, check_writes
from outlive.model.outcome import Outcome

APPLIED, NOT_APPLIED, UNKNOWN = Outcome.APPLIED, Outcome.NOT_APPLIED, Outcome.UNKNOWN


@pytest.mark.parametrize("stored", [[1], [1, 3]])
def test_an_unknown_write_may_be_there_or_not(stored: list[int]) -> None:
    """Only what was told for certain binds."""
    assert check_writes([(1, APPLIED), (2, NOT_APPLIED), (3, UNKNOWN)], stored) == WritesVerdict(1, 1)


@pytest.mark.parametrize(
    ("stored", "verdict"),
    [
        ([], WritesVerdict(1, 1, lost=(1,))),
        ([1, 1], WritesVerdict(1, 1, doubled=(1,))),
        ([1, 3, 3], WritesVerdict(1, 1, doubled=(3,))),
        ([1, 2], WritesVerdict(1, 1, contrary=(2,))),
    ],
)
def test_a_planted_defect_is_named(stored: list[int], verdict: WritesVerdict) -> None:
    """A lost write, a doubled one, an unknown one doubled, and one that was said not to be applied."""
    found = check_writes([(1, APPLIED), (2, NOT_APPLIED), (3, UNKNOWN)], stored)
    assert found == verdict
    assert not found.ok


def test_a_write_has_one_outcome() -> None:
    """The same number twice is a mistake of the harness, not a verdict."""
    with pytest.raises(ValueError, match="the write 1 was told of twice"):
        check_writes([(1, APPLIED), (1, APPLIED)], [1])

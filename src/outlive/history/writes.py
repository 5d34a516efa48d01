"""Single writes held against what the primary holds in the end: a set, of which each element counts.

An acknowledged write must be there once. One whose outcome is unknown may be there or not, but not twice. One that
was told to be not applied must not be there. Source: Jepsen's set checker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from outlive.model.outcome import Outcome


@dataclass(frozen=True, slots=True)
class WritesVerdict:
    """What became of the writes, each by its number.

    `lost` were acknowledged and are not there; `doubled` are there more than once; `contrary` are there although the
    caller was told that they are not.
    """

    acknowledged: int
    unknown: int
    lost: tuple[int, ...] = field(default=())
    doubled: tuple[int, ...] = field(default=())
    contrary: tuple[int, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether every promise held."""
        return not (self.lost or self.doubled or self.contrary)


def check_writes(told: Iterable[tuple[int, Outcome]], stored: Iterable[int]) -> WritesVerdict:
    """The verdict on what callers were told of each write, and the writes that are there.

    Raises:
        ValueError: a write was told of twice.
    """
    outcomes: dict[int, Outcome] = {}
    for number, outcome in told:
        if number in outcomes:
            raise ValueError(f"the write {number} was told of twice")
        outcomes[number] = outcome
    there = Counter(stored)
    by_outcome = {outcome: {n for n, each in outcomes.items() if each is outcome} for outcome in Outcome}
    return WritesVerdict(
        acknowledged=len(by_outcome[Outcome.APPLIED]),
        unknown=len(by_outcome[Outcome.UNKNOWN]),
        lost=tuple(sorted(by_outcome[Outcome.APPLIED] - there.keys())),
        doubled=tuple(sorted(number for number, times in there.items() if times > 1)),
        contrary=tuple(sorted(by_outcome[Outcome.NOT_APPLIED] & there.keys())),
    )

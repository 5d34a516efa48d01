"""How long writes were held up."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise


def longest_gap_s(acknowledged_at: Iterable[float], since: float) -> float:
    """The longest time between two acknowledged writes that follow each other, of those gaps that end after `since`.

    Times are monotonic seconds in ascending order. Without two writes there is no gap.
    """
    return max((after - before for before, after in pairwise(acknowledged_at) if after >= since), default=0.0)

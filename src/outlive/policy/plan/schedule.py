"""How far apart the runs of a cron schedule lie, at the worst."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise

from cronsim import CronSim

RUNS_LOOKED_AT = 500
# Any year does, as long as it is always the same one; this one begins a leap cycle of the calendar.
_START = datetime(2000, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=64)
def longest_interval(cron: str) -> timedelta:
    """The longest time between two runs in a row, among the first 500 from the year 2000 on."""
    runs = list(islice(CronSim(cron, _START), RUNS_LOOKED_AT))
    return max((later - sooner for sooner, later in pairwise(runs)), default=timedelta.max)

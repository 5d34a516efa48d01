"""The real clock and the real chance. Nothing else in the product touches either directly."""

import random
import time
from datetime import UTC, datetime

monotonic = time.monotonic
"""Seconds on a clock that never goes back; for deadlines and durations."""

chance = random.SystemRandom()
"""The operating system's randomness; for jitter, identifiers and secrets."""


def now_utc() -> datetime:
    """The present moment, aware, UTC."""
    return datetime.now(UTC)

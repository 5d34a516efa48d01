"""What became of a change that was asked for: the one three-valued answer of the whole product."""

from enum import Enum


class Outcome(Enum):
    """Whether the database took a change.

    Source: Jepsen's ok / fail / info completions.
    """

    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    UNKNOWN = "unknown"

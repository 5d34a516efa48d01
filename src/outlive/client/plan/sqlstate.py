"""What a server's SQLSTATE says about the attempt that got it.

Source: PostgreSQL documentation, appendix A, "PostgreSQL Error Codes".
"""

from __future__ import annotations

from outlive.client.plan.retry import FailureKind

_CONFLICTS = frozenset({"40001", "40P01"})
_GONE = frozenset({"57P01", "57P02", "57P03", "57P05", "40003"})
_READ_ONLY = frozenset({"25006"})
_CROWDED = frozenset({"53300"})


def kind_of(sqlstate: str) -> FailureKind | None:
    """The kind of failure that a retry can cure, or None: the error is the user's own."""
    if sqlstate in _CONFLICTS:
        return FailureKind.CONFLICT
    if sqlstate in _READ_ONLY:
        return FailureKind.DEMOTED
    if sqlstate in _GONE or sqlstate.startswith("08"):
        return FailureKind.LOST
    if sqlstate in _CROWDED:
        return FailureKind.UNREACHABLE
    return None

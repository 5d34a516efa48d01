"""What a server's SQLSTATE says about the attempt that got it.

Source: PostgreSQL documentation, appendix A, "PostgreSQL Error Codes".
"""

from __future__ import annotations

from outlive.client.plan.retry import FailureKind

_CONFLICTS = frozenset({"40001", "40P01"})
READ_ONLY = "25006"
_GONE = frozenset({"57P01", "57P02", "57P03", "57P05", "40003"})
_CROWDED = frozenset({"53300"})


def kind_of(sqlstate: str) -> FailureKind | None:
    """The kind of failure that a retry can cure, or None: the error is the user's own."""
    if sqlstate in _CONFLICTS:
        return FailureKind.CONFLICT
    if sqlstate == READ_ONLY:
        return FailureKind.DEMOTED
    if sqlstate in _GONE or sqlstate.startswith("08"):
        return FailureKind.LOST
    if sqlstate in _CROWDED:
        return FailureKind.UNREACHABLE
    return None


def kind_of_read_only(in_hot_standby: str | None, read_only_by_default: str | None) -> FailureKind | None:
    """Why a write was refused with 25006, by what the session was told of `in_hot_standby` and
    `default_transaction_read_only`; a setting that nothing was told of is None.

    A server becomes a standby by a restart only, which ends its sessions. So a session of a server that is none was
    never demoted: a setting forbids it to write, or the caller's own `SET TRANSACTION READ ONLY`, which is no failure
    of ours.
    """
    if in_hot_standby != "off":
        return FailureKind.DEMOTED
    return FailureKind.READ_ONLY if read_only_by_default == "on" else None

"""What the schema `outlive` forbids a role, as the product's own error."""

from __future__ import annotations

import asyncpg

from outlive.errors import StateError

_ROW_SECURITY = "row-level security"
_ACT = "Act for a tenant: `db.as_tenant(name)`, and AgentState(db.as_tenant(name)) for the stores."
_OTHER_ROLE = (
    "Log in with a role that may: outlive_app reads and writes, outlive_reader reads, and the role that migrated, or a "
    "member of outlive_owner, maintains."
)


def forbidden(error: asyncpg.InsufficientPrivilegeError) -> StateError:
    """The error for a statement of the product's own that this role may not execute: it says which role may."""
    message = str(error.args[0])
    if _ROW_SECURITY in message:
        return StateError(f"tenants are kept apart here, and this client acts for none: {message}", hint=_ACT)
    return StateError(f"this role may not do that: {message}", hint=_OTHER_ROLE)

"""The refusals of the functions in schema `outlive` as the product's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from outlive.client.forbidden import forbidden
from outlive.errors import (
    InterruptedCallError,
    KeyReusedError,
    LeaseLostError,
    NotFoundError,
    SchemaError,
    SplitBrainError,
    StateError,
    TransactionError,
    UnavailableError,
    UnstorableError,
    VersionConflictError,
)


class ForgottenObjectsError(StateError):
    """Objects that a writer trusts to be stored were deleted meanwhile: it has to bring them again.

    It stays within the stores and the adapters, which do just that.
    """

    code = "forgotten-objects"


class OtherSchemaError(SchemaError):
    """The schema is missing, older or newer: whatever part of it a call misses, making that part is not the way out."""


PASSING = (UnavailableError, TransactionError, SplitBrainError)
"""The errors of a database that is out of reach for the moment."""

_REFUSALS: dict[str, type[StateError]] = {
    "OL001": LeaseLostError,
    "OL002": KeyReusedError,
    "OL003": NotFoundError,
    "OL004": VersionConflictError,
    "OL005": InterruptedCallError,
    "OL020": ForgottenObjectsError,
    "OL021": StateError,
}

# Undefined table, function, type and schema, and a column or signature of another version.
_NO_SUCH_NAME = frozenset({"42P01", "42883", "42704", "3F000", "42703"})

_MIGRATE_OR_UPGRADE = (
    "Run `outlive migrate`: it brings an older schema to what this code needs, and says so if outlive is what is older."
)

# Data that PostgreSQL can't take, and its limits: a name with a NUL that is only looked for comes to this as well.
_UNFIT = ("22", "54")


@contextmanager
def typed_refusals() -> Iterator[None]:
    """Turn what the stores' own functions raise into a `StateError`; everything else passes through.

    Every statement of the stores is the stores' own, so a name that the database does not know is a missing or
    older schema, never the user's SQL, and what it can't take is an argument.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        refused = _refusal(error)
        if refused is None:
            raise
        raise refused from error


def refusal(code: str, message: str) -> StateError:
    """The error of a refusal that the database gave as a value."""
    return _REFUSALS[code](message)


def _refusal(error: asyncpg.PostgresError) -> StateError | None:
    sqlstate, message, detail = str(error.sqlstate), str(error.args[0]), getattr(error, "detail", None)
    if sqlstate in _REFUSALS:
        return refusal(sqlstate, f"{message} ({detail})" if detail else message)
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return forbidden(error)
    if sqlstate.startswith(_UNFIT):
        return UnstorableError(f"this can be neither kept nor found: {message}")
    if sqlstate in _NO_SUCH_NAME:
        return SchemaError(f"the schema `outlive` is not as this code needs it: {message}", hint=_MIGRATE_OR_UPGRADE)
    return None

"""Which schema there is, where a call did not find the one that it needs."""

from __future__ import annotations

import asyncpg

from outlive.client.cluster import Cluster
from outlive.errors import OutliveError, SchemaError
from outlive.stores.failures import OtherSchemaError
from outlive.stores.plan.migration import Recorded, explain_missing
from outlive.stores.queries import known_migrations, queries

ASK_TIMEOUT_S = 5.0
"""How long a call that failed already waits to learn more, in seconds."""


async def explained(db: Cluster, error: SchemaError) -> SchemaError:
    """The error that says which schema there is and what to do; the same error, if that is not what is wrong."""
    try:
        rows = await db.fetch(queries("migrations")["recorded"], read="strong", timeout=ASK_TIMEOUT_S)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        rows = None
    except (OutliveError, asyncpg.PostgresError):
        return error  # it is a reason to say less, and none to hide what failed first
    recorded = None if rows is None else tuple(Recorded(**row) for row in rows)
    refusal = explain_missing(known_migrations(), recorded)
    return error if refusal is None else OtherSchemaError(f"{refusal.reason} ({error.__cause__})", hint=refusal.hint)

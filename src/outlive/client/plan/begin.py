"""The first message of a transaction: BEGIN, its durability class, and the fence, in one round trip.

The fence makes the server refuse on the spot: a node in recovery has no insert position, a node on a timeline
below the highest seen is an old primary, and a synchronous setting other than the one judged in force is not
trusted. A refusal is a cast that fails with our words in it, as plain SQL knows no other way to raise.

Source: PostgreSQL documentation, "Simple Query" (several statements in one message).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from outlive.errors import ConfigurationError
from outlive.model.lsn import Timeline

FENCE = "outlive fence: "

Isolation = Literal["read_committed", "repeatable_read", "serializable"]
ISOLATIONS: tuple[Isolation, ...] = ("read_committed", "repeatable_read", "serializable")


@lru_cache(maxsize=64)
def begin_message(
    synchronous_commit: str, timeline: Timeline, synchronous_names: str | None, isolation: Isolation | None
) -> str:
    """The message's text; `synchronous_names` is the setting that has to be in force, None for any."""
    return f"{begin(synchronous_commit, isolation)};{fence(timeline, synchronous_names)}"


@lru_cache(maxsize=64)
def begin(synchronous_commit: str, isolation: Isolation | None) -> str:
    """The message without its fence."""
    level = f" ISOLATION LEVEL {isolation.replace('_', ' ').upper()}" if isolation else ""
    return f"BEGIN{level};SET LOCAL synchronous_commit = {synchronous_commit}"


def tenant_setting(tenant: str) -> str:
    """What lets the rest of a transaction see the rows of one tenant, where tenants are kept apart."""
    return f"SET LOCAL outlive.tenant = {quoted(tenant)}"


def quoted(text: str) -> str:
    """A string constant of SQL that holds exactly `text`, whatever the server's `standard_conforming_strings`.

    Raises:
        ConfigurationError: a NUL has no place in one.
    Source: PostgreSQL documentation, "String Constants with C-Style Escapes".
    """
    if "\0" in text:
        raise ConfigurationError(f"PostgreSQL can't hold the NUL character in {text!r}")
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in text else f"'{escaped}'"


@lru_cache(maxsize=64)
def fence(timeline: Timeline, synchronous_names: str | None) -> str:
    """A query that gives 0 on the one primary that is meant, and fails with our words anywhere else."""
    segment = "pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())"
    found = f"pg_catalog.substr({segment}, 1, 8)"
    refusals = f"WHEN {found} COLLATE \"C\" < '{timeline:08X}' THEN '{FENCE}timeline ' || {found}"
    if synchronous_names is not None:
        names = "pg_catalog.current_setting('synchronous_standby_names')"
        refusals += f" WHEN {names} <> {quoted(synchronous_names)}"
        refusals += f" THEN '{FENCE}synchronous_standby_names became ' || pg_catalog.quote_literal({names})"
    return f"SELECT CAST(CASE {refusals} ELSE '0' END AS pg_catalog.int4)"

"""One statement and its key as one statement of the server's, for one round trip without BEGIN and COMMIT.

    WITH "outlive claim" AS (INSERT INTO outlive.keys ... the fence ...) INSERT INTO turns ...

The server runs both or neither. It takes the key last, after the caller's statement: whatever is refused, be it the
key or something of the caller's, is therefore tried again the ordinary way, key first, which tells a request that was
applied before from an error of the caller's own. The fence is judged where the key is inserted.

What travels as a parameter follows the caller's own parameters, so the number of those has to be known for certain.

Source: PostgreSQL documentation, "Data-Modifying Statements in WITH": those are always executed to their end.
"""

from __future__ import annotations

import re
from functools import lru_cache

from outlive.client.plan.keys import guarded_claim
from outlive.model.lsn import Timeline

_PREFIXABLE = re.compile(r"\s*(insert|update|delete)\b", re.IGNORECASE)


@lru_cache(maxsize=4096)
def can_carry_a_key(sql: str) -> bool:
    """Whether a WITH can be put before the statement: it is a plain INSERT, UPDATE or DELETE."""
    return _PREFIXABLE.match(sql) is not None


@lru_cache(maxsize=256)
def with_key(sql: str, parameters: int, table: str, timeline: Timeline, synchronous_names: str | None) -> str:
    """The statement together with the claim of a key: `parameters` of its own, then the key and its request."""
    claim = guarded_claim(table, timeline, synchronous_names, first=parameters + 1)
    return f'WITH "outlive claim" AS ({claim}) {sql}'

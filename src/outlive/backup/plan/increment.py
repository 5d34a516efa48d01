"""Which backup an incremental one is taken against, or why it can't be one. Pure.

The newest physical backup of the same cluster whose chain is whole; a chain has a limit, since each link makes the
restore longer and each is one more thing that has to be whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outlive.backup.plan.source import ServerFacts

FIRST_VERSION = 170000
CHAIN_LIMIT = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A physical backup, in the order in which they were finished; `parent` of an incremental one."""

    id: str
    parent: str | None
    system_identifier: str
    has_pg_manifest: bool = True


@dataclass(frozen=True, slots=True)
class Parent:
    """The backup to take it against."""

    id: str


@dataclass(frozen=True, slots=True)
class NotIncremental:
    """Why only a full backup can be taken now."""

    reason: str


def choose(
    candidates: Sequence[Candidate], server: ServerFacts, chain_limit: int = CHAIN_LIMIT
) -> Parent | NotIncremental:
    """What to take an incremental backup against."""
    if server.version < FIRST_VERSION:
        return NotIncremental(f"PostgreSQL {server.version // 10000} has no incremental backups; 17 has")
    if not server.summarizes_wal:
        return NotIncremental("the server keeps no summaries of its WAL (summarize_wal is off)")
    by_id = {each.id: each for each in candidates if each.system_identifier == server.system_identifier}
    whole = [each for each in by_id.values() if each.has_pg_manifest and _length(each, by_id) is not None]
    if not whole:
        return NotIncremental("there is no whole backup yet to take it against")
    newest = whole[-1]
    if (_length(newest, by_id) or 0) >= chain_limit:
        return NotIncremental(f"the chain has {chain_limit} backups already, and the next one begins anew")
    return Parent(newest.id)


def _length(candidate: Candidate, by_id: Mapping[str, Candidate]) -> int | None:
    """How many backups its restore needs; None where one of them is missing."""
    length, current = 1, candidate
    while current.parent is not None:
        found = by_id.get(current.parent)
        if found is None or length > len(by_id):
            return None
        length, current = length + 1, found
    return length

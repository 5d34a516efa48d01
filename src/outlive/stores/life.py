"""The end of conversations: erased because a person asks for it, forgotten because they are old."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from outlive.errors import ConfigurationError
from outlive.stores.ages import ago, checked_age
from outlive.stores.calling import called
from outlive.stores.encoding import checked_name
from outlive.stores.queries import queries
from outlive.stores.shared import new_attempt
from outlive.stores.statements import Statements

REFUSE_ERASED = timedelta(days=7)
"""How long an erased id is refused to whoever would make it again: longer than any retry may come late."""

RETENTION_BATCH = 200
MAX_BATCH = 10_000
_WINDOW_A_BATCH = 20


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased: how many rows of each table, by its name; tables without any are left out.

    `remaining` has those that name the person still, as the caller's role may not erase them: of the audit log, where
    it is not the owner's.
    """

    rows: Mapping[str, int]
    remaining: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How far a retention has come: conversations and turns that are gone, or would be, and batches done."""

    conversations: int = 0
    turns: int = 0
    batches: int = 0


async def erase(statements: Statements, ids: Iterable[str], subject: str | None, refuse: timedelta) -> Erasure:
    """See `Conversations.erase`."""
    names = [checked_name(each, "a conversation's id") for each in ids]
    if subject is not None:
        checked_name(subject, "a subject")
    if not names and subject is None:
        raise ConfigurationError("nothing to erase was named", hint="Name conversations by their ids, or a subject.")
    checked_age("refuse_for", refuse)
    sql = queries("life")["erase"]
    rows = await statements.write_all(sql, new_attempt(), names, subject, refuse.total_seconds())
    gone, left = ({row["name"]: row["rows"] for row in rows if row["remains"] is remains} for remains in (False, True))
    return Erasure(MappingProxyType(gone), MappingProxyType(left))


async def forget(
    statements: Statements,
    older_than: timedelta,
    *,
    batch: int,
    dry_run: bool,
    on_progress: Callable[[Forgotten], object] | None,
) -> Forgotten:
    """See `Conversations.retention`."""
    before = ago("older_than", older_than)
    if not 0 < batch <= MAX_BATCH:
        raise ConfigurationError(f"batch must lie between 1 and {MAX_BATCH}, not {batch}")
    done, after = Forgotten(), 0
    while True:
        done, next_key = await _batch(statements, done, before, after, batch, dry_run=dry_run)
        if on_progress is not None:
            await called(on_progress, done)
        if next_key is None:
            return done
        after = next_key


async def _batch(
    statements: Statements, done: Forgotten, before: datetime, after: int, batch: int, *, dry_run: bool
) -> tuple[Forgotten, int | None]:
    sql = queries("life")["forget"]
    row = await statements.write(sql, before, after, batch, batch * _WINDOW_A_BATCH, dry_run)
    total = Forgotten(done.conversations + row["conversations"], done.turns + row["turns"], done.batches + 1)
    return total, row["next"]

"""What all stores need from time to time, in one call: what is old goes, and room is made for what comes.

Every step goes in small transactions, may be cut off between any two of them, and finds nothing left to do when it is
called again. Two calls at once share the work. Nothing sweeps leases: one that ran out is free by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

import asyncpg

from outlive import system
from outlive.client.options import positive
from outlive.errors import ConfigurationError, OutliveError
from outlive.model.deadline import Deadline
from outlive.stores.ages import checked_age
from outlive.stores.queries import queries
from outlive.stores.statements import Statements

if TYPE_CHECKING:
    from outlive.stores.state import AgentState

AT_MOST_S = 600.0
"""How long one call goes on, in seconds; the next one goes on from there."""
DAY = timedelta(days=1)

Step = Callable[[], Awaitable[int]]
ByAge = Callable[[timedelta], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Keep:
    """How long each store keeps what is over; None is for ever.

    Tasks are those that finished or were cancelled; dead ones stay until somebody decides. Cached answers and items
    have their own time to live. `keys` are those of `db.run`, an hour at least.

    Raises:
        ConfigurationError: one of them is no time.
    """

    conversations: timedelta | None = None
    tasks: timedelta | None = 30 * DAY
    context: timedelta | None = None
    events: timedelta | None = 30 * DAY
    audit: timedelta | None = None
    keys: timedelta = DAY

    def __post_init__(self) -> None:
        for name in self.__slots__:
            age = getattr(self, name)
            if age is not None:
                checked_age(name, age)
        if self.keys < timedelta(hours=1):
            raise ConfigurationError(f"keys are kept for an hour at least, not for {self.keys}")


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What was removed of each store, or would be, and why a step was not done to its end.

    Of keys and events it is rows and days together, as days are dropped whole.
    """

    removed: Mapping[str, int]
    failed: Mapping[str, str]


async def maintain(state: AgentState, keep: Keep, at_most_s: float) -> Maintenance:
    """See `AgentState.maintain`."""
    deadline = Deadline.after(positive("at_most_s", at_most_s), system.monotonic())
    removed: dict[str, int] = {}
    failed: dict[str, str] = {}
    for name, step in _steps(state, keep).items():
        try:
            async with asyncio.timeout(deadline.remaining_s(system.monotonic())):
                removed[name] = await step()
        except TimeoutError:
            failed[name] = "there was no time left: the next call goes on"
        except (OutliveError, asyncpg.PostgresError) as error:
            failed[name] = str(error)
    return Maintenance(MappingProxyType(removed), MappingProxyType(failed))


async def due(state: AgentState, statements: Statements, keep: Keep) -> Maintenance:
    """What `maintain` would remove, changing nothing."""
    ages = [None if age is None else age.total_seconds() for age in (keep.tasks, keep.context, keep.events, keep.keys)]
    row = await statements.read(queries("maintenance")["due"], *ages)
    assert row is not None, "counts are one row"
    counts = {name: int(number) for name, number in row.items()}
    if keep.conversations is not None:
        old = await state.conversations.retention(keep.conversations, dry_run=True)
        counts["conversations"] = old.conversations
    if keep.audit is not None:
        counts["audit"] = (await state.audit.prune(keep.audit, dry_run=True)).entries
    return Maintenance(MappingProxyType(counts), MappingProxyType({}))


def _steps(state: AgentState, keep: Keep) -> dict[str, Step]:
    """What is to be done, in this order: what makes room for others' writes comes first."""

    async def keys() -> int:
        return sum(await state.db.expire_keys(keep.keys))

    async def events(age: timedelta) -> int:
        done = await state.events.maintain(age / DAY)
        return done.days_dropped + done.events_deleted

    async def conversations(age: timedelta) -> int:
        return (await state.conversations.retention(age)).conversations

    async def audit(age: timedelta) -> int:
        return (await state.audit.prune(age)).entries

    by_age: dict[str, tuple[ByAge, timedelta | None]] = {
        "events": (events, keep.events),
        "tasks": (state.tasks.expire, keep.tasks),
        "context": (state.context.expire, keep.context),
        "conversations": (conversations, keep.conversations),
        "audit": (audit, keep.audit),
    }
    aged = {name: _of(work, age) for name, (work, age) in by_age.items() if age is not None}
    return {"keys": keys, "llm_cache": state.llm_cache.evict, "items": state.items.sweep, **aged}


def _of(work: ByAge, age: timedelta) -> Step:
    return lambda: work(age)

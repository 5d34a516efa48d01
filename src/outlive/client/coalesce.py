"""A writer that only appends, and lets rows that come together go together: see `grouping`.

A group is one transaction. A row that was sent and has no answer at its deadline is told so, and the group goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, Self

from outlive.client import batch, options
from outlive.client.alarm import Alarm
from outlive.client.attempt import Terms
from outlive.client.attempts import Attempts
from outlive.client.claims import new_key
from outlive.client.grouping import Groups, fail
from outlive.client.nodes import Nodes
from outlive.client.plan.keys import Key
from outlive.client.receipts import gathered
from outlive.errors import CommitUnknownError, ConfigurationError, PoolTimeoutError
from outlive.model.deadline import Deadline
from outlive.model.durability import Receipt
from outlive.system import monotonic

MAX_GROUP_ROWS = 1000
MAX_WAITING_ROWS = 10_000
CLOSE_TIMEOUT_S = 60.0

_REQUEST = b"writer"

# The types' own names: what `format_type` calls `character` would be one character long.
COLUMNS = """
select a.attname as name,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname) as type,
       t.typcategory = 'A' as is_array
from pg_catalog.pg_attribute a
join pg_catalog.pg_type d on d.oid = a.atttypid
join pg_catalog.pg_type t on t.oid = case when d.typtype = 'd' then d.typbasetype else d.oid end
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where a.attrelid = pg_catalog.to_regclass($1) and a.attnum > 0 and not a.attisdropped
"""


@dataclass(frozen=True, slots=True)
class Target:
    """Where rows go: the table and its columns, quoted, with the name of each one's type."""

    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    has_arrays: bool

    def statements(self, rows: Sequence[Sequence[object]]) -> list[batch.Statement]:
        """What inserts the rows: one statement for them all, or one each where a column is an array itself."""
        into = f"INSERT INTO {self.table} ({', '.join(self.columns)})"
        if len(rows) == 1 or self.has_arrays:
            values = ", ".join(f"${number}" for number in range(1, len(self.columns) + 1))
            return [(f"{into} VALUES ({values})", row) for row in rows]
        arrays = ", ".join(f"pg_catalog.unnest(${number}::{name}[])" for number, name in enumerate(self.types, 1))
        columns = [list(column) for column in zip(*rows, strict=True)]
        return [(f"{into} SELECT * FROM ROWS FROM ({arrays})", columns)]  # noqa: S608 - names the server knows


@lru_cache(maxsize=64)
def _fenced(target: Target, fence: str, *, alone: bool) -> str:
    """One statement that inserts the rows where the fence lets it: the values of one row, or an array a column."""
    numbered = list(enumerate(target.types, 1))
    if alone:
        rows = f"(SELECT {', '.join(f'${number}::{name}' for number, name in numbered)})"
    else:
        rows = f"ROWS FROM ({', '.join(f'pg_catalog.unnest(${number}::{name}[])' for number, name in numbered)})"
    return (
        f'WITH "outlive fence" AS MATERIALIZED (SELECT ({fence}) = 0 AS passed) '  # noqa: S608 - names the server knows
        f"INSERT INTO {target.table} ({', '.join(target.columns)}) "
        f'SELECT r.* FROM "outlive fence" AS f CROSS JOIN {rows} AS r WHERE f.passed'
    )


def target(table: str, columns: Sequence[str], known: Mapping[str, Mapping[str, Any]]) -> Target:
    """The target, given the rows of `COLUMNS` by their names.

    Raises:
        ConfigurationError: there is no such table or column.
    """
    if isinstance(columns, str) or not columns:
        raise ConfigurationError(f"columns can't be {columns!r}", hint="Pass a list of the columns' names.")
    if not known:
        raise ConfigurationError(f"there is no table {table}", hint="Write its name as SQL does, its schema included.")
    for column in columns:
        if column not in known:
            raise ConfigurationError(f"{table} has no column {column!r}", hint=f"It has: {', '.join(known)}.")
    return Target(
        table=table,
        columns=tuple(f'"{column.replace(chr(34), chr(34) * 2)}"' for column in columns),
        types=tuple(known[column]["type"] for column in columns),
        has_arrays=any(known[column]["is_array"] for column in columns),
    )


@dataclass(slots=True, eq=False)
class _Row:
    values: tuple[object, ...]
    deadline: Deadline
    done: asyncio.Future[Receipt]
    sent: bool = False


class Writer:
    """Appends rows to one table; made by `Cluster.writer`, to be used by many tasks of one event loop."""

    def __init__(self, nodes: Nodes, terms: Terms, target: Target, *, exactly_once: bool, timeout_s: float) -> None:
        self._nodes = nodes
        self._terms = terms
        self._target = target
        self._exactly_once = exactly_once
        self._timeout_s = timeout_s
        self._room = asyncio.Semaphore(MAX_WAITING_ROWS)
        self._groups: Groups[_Row] = Groups(self._gathered, self._send)
        self._alarm = Alarm(self._overdue)
        self._taken: set[_Row] = set()
        self._closed = False

    async def append(self, *values: object, timeout: float | None = None) -> Receipt:
        """Append one row, a value a column; the receipt is of the commit that it went with.

        Raises:
            CommitUnknownError: the row was sent, and whether it was applied can't be told (in time).
            PoolTimeoutError: it was not sent within `timeout` seconds; nothing of it is applied.
            ConfigurationError: the number of values is wrong, or the writer was closed.
        """
        if len(values) != len(self._target.columns):
            raise ConfigurationError(f"{len(values)} values were given for {len(self._target.columns)} columns")
        timeout_s = self._timeout_s if timeout is None else options.positive("timeout", timeout)
        deadline = Deadline.after(timeout_s, monotonic())
        if self._room.locked():
            await self._enter(deadline)
        else:
            await self._room.acquire()
        try:
            if self._closed:
                raise ConfigurationError("the writer was closed", hint="Append inside its `async with` block.")
            receipt = await self._outcome(_Row(values, deadline, asyncio.get_running_loop().create_future()))
        finally:
            self._room.release()
        gathered(receipt)
        return receipt

    async def _enter(self, deadline: Deadline) -> None:
        try:
            async with asyncio.timeout(deadline.remaining_s(monotonic())):
                await self._room.acquire()
        except TimeoutError:
            raise PoolTimeoutError(f"{MAX_WAITING_ROWS} rows were waiting until the deadline") from None

    async def _outcome(self, row: _Row) -> Receipt:
        self._groups.waiting.append(row)
        self._taken.add(row)
        self._alarm.no_later(row.deadline.at)
        self._groups.pump()
        try:
            return await row.done
        finally:
            self._taken.discard(row)

    def _overdue(self) -> None:
        """Tell the rows whose deadline came, and wait for the next deadline."""
        now = monotonic()
        for row in self._taken:
            if row.deadline.expired(now) and not row.done.done():
                row.done.set_exception(
                    CommitUnknownError("the deadline came while the row was under way")
                    if row.sent
                    else PoolTimeoutError("the row was not sent before its deadline")
                )
        left = [row.deadline.at for row in self._taken if not row.done.done()]
        if left:
            self._alarm.set(min(left))

    def _gathered(self) -> list[_Row]:
        """The rows that wait and are still wanted, up to the most that one group has."""
        waits, group = self._groups.waiting, list[_Row]()
        while waits and len(group) < MAX_GROUP_ROWS:
            row = waits.popleft()
            if not row.done.done():
                row.sent = True
                group.append(row)
        self._groups.pump()
        return group

    async def _send(self, group: Sequence[_Row]) -> Sequence[Receipt]:
        now = monotonic()
        remaining_s = max(row.deadline.remaining_s(now) for row in group)
        terms = self._terms
        if self._exactly_once:
            terms = replace(terms, key=Key(new_key(), _REQUEST))
        attempts = Attempts(self._nodes.monitor, remaining_s, idempotent=self._exactly_once)
        statements = self._target.statements([row.values for row in group])
        fenced = None
        if len(statements) == 1:
            fenced = partial(_fenced, self._target, alone=len(group) == 1)
        receipt = await batch.batch(self._nodes, terms, attempts, statements, fenced)
        return [receipt] * len(group)

    async def close(self, timeout: float = CLOSE_TIMEOUT_S) -> None:
        """Take no more rows, and wait until those that were taken have their answers; may be called twice.

        What is not done within `timeout` seconds fails in its caller.
        """
        self._closed = True
        deadline = Deadline.after(options.positive("timeout", timeout), monotonic())
        groups = self._groups
        while (groups.under_way or groups.waiting) and not deadline.expired(monotonic()):
            groups.pump()
            await asyncio.wait(groups.under_way, timeout=deadline.remaining_s(monotonic()))
        self._alarm.stop()
        fail(groups.waiting, PoolTimeoutError("the writer was closed before the row was sent"))
        groups.waiting.clear()
        # A commit that was sent is not cut short, so its group ends later than its callers may wait.
        fail(self._taken, CommitUnknownError("the writer was closed while the row was under way"))
        for task in groups.under_way:
            task.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

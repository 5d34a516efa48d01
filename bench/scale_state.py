"""A million conversations beside a thousand, each in a database of its own on the same server.

Both are loaded by COPY, in several sessions, with the indexes that the schema has. Then the two are measured by turns
with the same operations: appends by 32 workers to five hundred conversations that are drawn at random from all there
are, and resumes of one of the others, drawn anew each time. Warm is after as much of the same as is measured; after
a restart of the servers each conversation is touched for the first time, and what is not in the server's memory is
in the operating system's at best.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count, pairwise
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit
from uuid import uuid4

import asyncpg

import outlive
from outlive.cluster import steering
from outlive.cluster.plan.patroni_config import SUPERUSER
from outlive.stores import AgentState, Conversation, Conversations, migrate
from reports import Report, Row
from slices import Operation, compare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from outlive.testing import LocalCluster

FEW = 1000
TURNS_EACH = 10
MESSAGE = {"role": "user", "content": "x" * 200}
SESSIONS = 2
LOADED_AT_ONCE = 5_000
BYTES_EACH = 20_000
"""What a conversation takes on the disks of three nodes, their WAL included, about."""
AT_WORK, TASKS = 500, 32
ROUNDS = 40
RESTARTS, APPENDS_AT_ONCE, RESUMES_AT_ONCE = 4, 100, 20
LEASE_S = 7200.0
LIMIT_S = 1800.0
"""How long the standbys may take to replay what was loaded, and the servers to restart."""
COLUMNS = ("conversation", "position", "id", "role", "content")


async def measure(cluster: LocalCluster, dsn: str, many: int) -> Report:
    """Append and resume, warm and after restarts."""
    report = Report("Conversations at scale", f"{FEW:,} conversations", ours=f"{many:,} conversations")
    free = shutil.disk_usage(cluster.directory.root).free
    if free < many * BYTES_EACH:
        raise SystemExit(f"{many:,} conversations need {many * BYTES_EACH / 1e9:.0f} GB, {free / 1e9:.0f} GB are free")
    admin = await asyncpg.connect(_as_superuser(cluster, dsn))
    try:
        places = {number: await _loaded(admin, dsn, number) for number in (FEW, many)}
        await _settle(admin)
    finally:
        await admin.close()
    async with _opened(places[FEW]) as few, _opened(places[many]) as lots:
        both = {FEW: few, many: lots}
        report.rows += await _warm(both, many)
        report.rows += await _after_restarts(cluster, both, many)
    return report


async def _loaded(admin: asyncpg.Connection, dsn: str, number: int) -> str:
    """A database of so many conversations; its DSN."""
    name = f"scale_{number}"
    await admin.execute(f"CREATE DATABASE {name} OWNER {urlsplit(dsn).username}")
    place = urlsplit(dsn)._replace(path=f"/{name}").geturl()
    await migrate(place)
    bounds = [number * part // SESSIONS for part in range(SESSIONS + 1)]
    done, began = count(1), time.monotonic()

    def tell() -> None:
        so_far = min(next(done) * LOADED_AT_ONCE, number)
        rate = so_far / (time.monotonic() - began)
        left_s = (number - so_far) / rate
        print(f"{so_far:,} of {number:,} conversations loaded, {left_s:.0f} s left", file=sys.stderr)

    await asyncio.gather(*(_load(place, *each, tell) for each in pairwise(bounds)))
    connection = await asyncpg.connect(place)
    try:
        await connection.execute("SELECT setval(pg_get_serial_sequence('outlive.conversations', 'key'), $1)", number)
        for table in ("conversations", "turns"):  # as autovacuum does with what has been there for a while
            await connection.execute(f"VACUUM (ANALYZE) outlive.{table}", timeout=LIMIT_S)
    finally:
        await connection.close()
    return place


async def _load(place: str, first: int, last: int, tell: Callable[[], None]) -> None:
    connection = await asyncpg.connect(place)
    try:
        await connection.execute("SET synchronous_commit = off")
        for start in range(first, last, LOADED_AT_ONCE):
            keys = range(start + 1, min(start + LOADED_AT_ONCE, last) + 1)
            heads = [(key, f"c{key}", TURNS_EACH) for key in keys]
            await connection.copy_records_to_table(
                "conversations", schema_name="outlive", columns=("key", "id", "turn_count"), records=heads
            )
            await connection.copy_records_to_table(
                "turns", schema_name="outlive", columns=COLUMNS, records=_turns(keys), timeout=LIMIT_S
            )
            tell()
    finally:
        await connection.close()


def _turns(keys: Sequence[int]) -> Iterator[tuple[int, int, str, str, str]]:
    text = json.dumps(MESSAGE)
    return ((key, place, f"t{place}", "user", text) for key in keys for place in range(TURNS_EACH))


async def _settle(admin: asyncpg.Connection) -> None:
    """Wait until the standbys have replayed what was loaded, and until it is on the primary's disk."""
    behind = "SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0) FROM pg_stat_replication"
    until = time.monotonic() + LIMIT_S
    while (left := int(await admin.fetchval(behind))) > 0:
        if time.monotonic() > until:
            raise SystemExit(f"the standbys are still {left / 1e6:.0f} MB behind after {LIMIT_S:.0f} s")
        print(f"the standbys are {left / 1e6:.0f} MB behind", file=sys.stderr)
        await asyncio.sleep(1)
    await admin.execute("CHECKPOINT", timeout=LIMIT_S)


class _Place:
    """One of the two databases, and what is done to it."""

    def __init__(self, conversations: Conversations, number: int) -> None:
        self.conversations = conversations
        self._number = number
        self._chance = Random(1)  # noqa: S311 - which ones a bench takes
        self._numbers = count()
        self._held: list[Conversation] = []
        self._names: set[str] = set()

    async def take(self) -> None:
        """Hold others of them, drawn from all."""
        names = [f"c{number + 1}" for number in self._chance.sample(range(self._number), AT_WORK)]
        self._held = [await self.conversations.open(each, worker="bench", lease_s=LEASE_S) for each in names]
        self._names = set(names)

    async def append(self) -> None:
        """A turn for the next one of those that are held."""
        number = next(self._numbers)
        await self._held[number % len(self._held)].append(f"t-{uuid4()}", "user", MESSAGE)

    async def resume(self) -> None:
        """One that is not held, drawn from all, with its turns."""
        while (name := f"c{self._chance.randrange(self._number) + 1}") in self._names:
            pass
        await self.conversations.open(name, worker="bench")


@asynccontextmanager
async def _opened(place: str) -> AsyncIterator[_Place]:
    async with outlive.connect(place) as db:
        number = int(urlsplit(place).path.rpartition("_")[2])
        yield _Place(AgentState(db).conversations, number)


async def _warm(both: dict[int, _Place], many: int) -> list[Row]:
    rows = []
    for each in both.values():
        await each.take()
    operations: list[tuple[str, int, Callable[[_Place], Operation]]] = [
        ("append, warm", TASKS, lambda place: place.append),
        ("resume, warm", 1, lambda place: place.resume),
    ]
    for what, tasks, operation in operations:
        print(f"measuring {what}", file=sys.stderr)
        contestants = {str(number): operation(place) for number, place in both.items()}
        await compare(contestants, str(FEW), tasks=tasks, rounds=ROUNDS)  # to warm up
        figures = await compare(contestants, str(FEW), tasks=tasks, rounds=ROUNDS)
        few, lots = figures[str(FEW)], figures[str(many)]
        rows.append(_row(what, lots.per_second, few.per_second, [1 / lots.ratio, 1 / lots.high, 1 / lots.low]))
    return rows


async def _after_restarts(cluster: LocalCluster, both: dict[int, _Place], many: int) -> list[Row]:
    """The first append to each conversation that is held, and the first resumes, by turns in small parts."""
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(RESTARTS):
        for each in both.values():
            await each.take()
        await steering.restart(cluster.directory, [], lambda line: print(line, file=sys.stderr), timeout_s=LIMIT_S)
        for each in both.values():  # the client finds the servers again: not what is measured
            await each.conversations.open("there", worker="bench")
        print("measuring after a restart", file=sys.stderr)
        for _ in range(AT_WORK // APPENDS_AT_ONCE):
            for number, each in both.items():
                append = await _rate(each.append, APPENDS_AT_ONCE, TASKS)
                rates.setdefault(("append", number), []).append(append)
            for number, each in both.items():
                resume = await _rate(each.resume, RESUMES_AT_ONCE, 1)
                rates.setdefault(("resume", number), []).append(resume)
    rows = []
    for what in ("append", "resume"):
        lots, few = rates[what, many], rates[what, FEW]
        middles = statistics.median(lots), statistics.median(few)
        rows.append(_row(f"{what}, first ones after a restart", *middles, _quartiles(few, lots)))
    return rows


async def _rate(operation: Operation, times: int, tasks: int) -> float:
    left = iter(range(times))

    async def work() -> None:
        for _ in left:
            await operation()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(tasks)))
    return times / (time.perf_counter() - began)


def _quartiles(few: list[float], many: list[float]) -> list[float]:
    low, middle, high = statistics.quantiles([one / other for one, other in zip(few, many, strict=True)], n=4)
    return [middle, low, high]


def _row(what: str, many: float, few: float, slower: Sequence[float]) -> Row:
    """`slower` is how many times as long it takes with many, and the quartiles around it."""
    middle, low, high = slower
    return Row(what, f"{many:,.0f}/s", f"{few:,.0f}/s", middle, low, high, "<= 1.3", middle <= 1.3)


def _as_superuser(cluster: LocalCluster, dsn: str) -> str:
    _, secrets = cluster.directory.load()
    parts = urlsplit(dsn)
    hosts = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{SUPERUSER}:{quote(secrets.superuser)}@{hosts}", path="/postgres").geturl()

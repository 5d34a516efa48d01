"""How late the store is while WAL is written, and what a piece of it waits for: a part of bench/wal.py."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from outlive.backup.archive_socket import serve
from outlive.backup.archiver_files import ArchiverConfig
from outlive.backup.archiver_log import ArchiverLog
from outlive.backup.deposit import Deposit
from outlive.backup.plan.archived import Piece
from outlive.backup.plan.cadence import OBJECTIVE_S
from outlive.backup.pushing import Pusher
from outlive.backup.streaming import Streamer
from outlive.backup.wal_files import WalFiles
from outlive.model.lsn import Lsn
from outlive.object_storage.store import ObjectStore

ROWS = "insert into turns select n, repeat(md5(random()::text), 30) from generate_series(1, {count}) n"
IDLE_EACH_S = 1.7
TICK_S = 1.0
START_LIMIT_S = 60.0
_CLOCK_HZ = os.sysconf("SC_CLK_TCK")
_TIMES = slice(11, 15)  # of /proc/PID/stat behind the name: own user and system time, and that of children that ended


@dataclass(slots=True)
class Lag:
    """Seconds from a commit until the store proves that it holds it, and what they were made of."""

    commits: list[float] = field(default_factory=list)
    proved: list[tuple[float, float]] = field(default_factory=list)
    piece_bytes: list[int] = field(default_factory=list)
    piece_s: list[float] = field(default_factory=list)
    put_s: list[float] = field(default_factory=list)
    wal_bytes_per_s: float = 0.0
    processors: dict[str, float] = field(default_factory=dict)
    """By program, how many processors it had on average."""

    def part(self, share: float) -> float:
        """The lag of that share of the commits, in seconds."""
        return part([min(put for put, at in self.proved if at >= commit) - commit for commit in self.commits], share)


def part(values: Sequence[float], share: float) -> float:
    """The value that `share` of them don't exceed; 0 where there are none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def halves(values: Sequence[float]) -> tuple[float, float]:
    """The median, and what 99 of a hundred don't exceed."""
    return part(values, 0.5), part(values, 0.99)


async def measure(
    config: ArchiverConfig, store: ObjectStore, seconds: float, *, busy: bool, pids: dict[str, int]
) -> Lag:
    """Commit for that long, as fast as one session can or once in a while, with an archiver in this process."""
    lag, files = Lag(), WalFiles(Path(config.data))
    deposit = WatchedDeposit(lag, WatchedStore(lag, store))
    session = await asyncpg.connect(host="127.0.0.1", port=config.port, user=config.user, ssl=False)
    try:
        async with asyncio.TaskGroup() as tasks:
            log = Noting(config.node, Path(config.state), lag)
            pusher = Pusher(files, deposit, tasks, log, workers=config.workers, check_system=_anybody)
            running = [
                tasks.create_task(Streamer(config, files, deposit, pusher, log, tasks).run()),
                tasks.create_task(_answer(config.socket, pusher)),
            ]
            await _proving(lag)
            await _write(session, lag, seconds, busy=busy, pids=pids)
            await asyncio.sleep(OBJECTIVE_S)  # until the last commit is proved too
            for task in running:
                task.cancel()
    finally:
        await session.close()
    return lag


async def _answer(socket: str, pusher: Pusher) -> None:
    async with serve(socket, pusher.push):
        while True:
            pusher.look_ahead()
            await asyncio.sleep(TICK_S)


async def _proving(lag: Lag) -> None:
    """Wait until the streaming has begun, and has sent what was written before it."""
    until = time.monotonic() + START_LIMIT_S
    while not lag.proved:
        if time.monotonic() > until:
            raise TimeoutError("nothing was streamed")
        await asyncio.sleep(0.05)


async def _write(session: asyncpg.Connection, lag: Lag, seconds: float, *, busy: bool, pids: dict[str, int]) -> None:
    began, before, start = time.monotonic(), _cpu(pids), await _end(session)
    while time.monotonic() - began < seconds:
        await session.execute(ROWS.format(count=200 if busy else 1))
        lag.commits.append(time.time())
        await asyncio.sleep(0 if busy else IDLE_EACH_S)
    took_s = time.monotonic() - began
    lag.wal_bytes_per_s = (await _end(session) - start) / took_s
    lag.processors = {name: (spent - before[name]) / took_s for name, spent in _cpu(pids).items()}


async def _end(session: asyncpg.Connection) -> Lsn:
    return Lsn.parse(await session.fetchval("select pg_current_wal_flush_lsn()::text"))


def _cpu(pids: dict[str, int]) -> dict[str, float]:
    return {name: sum(_cpu_s(each) for each in _family(pid)) for name, pid in pids.items()}


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            if int(child) != os.getpid():
                yield from _family(int(child))


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(each) for each in fields[_TIMES]) / _CLOCK_HZ


class Noting(ArchiverLog):
    """Notes when which moment was proved."""

    def __init__(self, node: str, path: Path, lag: Lag) -> None:
        super().__init__(node, path, lambda _line: None)
        self._lag = lag

    def streamed(self, end: Lsn, proved_at: datetime | None) -> None:
        """A piece or a mark is durable."""
        super().streamed(end, proved_at)
        if proved_at is not None:
            self._lag.proved.append((datetime.now(UTC).timestamp(), proved_at.timestamp()))


class WatchedStore:
    """Notes how long a put of a piece takes."""

    def __init__(self, lag: Lag, store: ObjectStore) -> None:
        self._lag, self._store = lag, store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def put(self, key: str, data: bytes, *, create: bool = False) -> None:
        """Write a small object."""
        began = time.monotonic()
        await self._store.put(key, data, create=create)
        if "/tail/" in key:
            self._lag.put_s.append(time.monotonic() - began)


class WatchedDeposit(Deposit):
    """Notes how long a piece takes, compression and all, and how large it is."""

    def __init__(self, lag: Lag, store: WatchedStore) -> None:
        super().__init__(store)  # it passes on what it does not have itself
        object.__setattr__(self, "lag", lag)

    async def put_piece(self, piece: Piece, raw: bytes, proved_at: datetime | None) -> None:
        """Make a piece durable."""
        began, lag = time.monotonic(), object.__getattribute__(self, "lag")
        await super().put_piece(piece, raw, proved_at)
        lag.piece_s.append(time.monotonic() - began)
        lag.piece_bytes.append(len(raw))


async def _anybody(_system_identifier: int) -> None:
    return None

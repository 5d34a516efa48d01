"""A cluster that archives: turned on and off while it runs, through the loss of its primary, and of every node."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

import outlive
from integration.client.waiting import until
from outlive.backup.archiver_files import ArchiverState, read_state
from outlive.backup.deposit import Deposit
from outlive.backup.plan.archived import Archived, coverage, piece_key, pieces_by_segment, read_listing, segment_key
from outlive.backup.plan.gaps import find
from outlive.cluster import archiving
from outlive.cluster.archiving import ArchiveWish
from outlive.errors import ObjectNotFoundError
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, parse_history
from outlive.object_storage.opening import open_store
from outlive.testing import LocalCluster

NEVER = datetime.min.replace(tzinfo=UTC)
MARK = re.compile(rb"marked-(\d{9})-")
OBJECTIVE_S = 5.0
"""How old the store's newest word may be at most; that of `ArchiveWish`, and of `outlive up --storage`."""
LIMIT_S = 240.0
READ_LIMIT = 10


@dataclass
class Archived3:
    """Three nodes and the directory that they archive into."""

    local: LocalCluster
    dsn: str
    store: Path
    written: list[tuple[int, datetime]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def state(self, node: str) -> ArchiverState | None:
        """What that node's archiver says of itself."""
        return read_state(self.local.directory.node(node).archiver_state)

    def deposit(self) -> Deposit:
        """The store, as a reader sees it."""
        return Deposit(open_store(f"file://{self.store}"))

    def proved_at(self) -> datetime:
        """Whatever was acknowledged before then is in the store, as the archivers have it."""
        states = [self.state(node) for node in self.local.nodes()]
        return max((state.proved_at for state in states if state and state.proved_at), default=NEVER)

    def archivers(self) -> list[int | None]:
        """The pid of each node's archiver."""
        return [self.local.processes(node).archiver for node in self.local.nodes()]

    async def has(self, numbers: set[int]) -> bool:
        """Whether the store holds the WAL of all these commits."""
        return numbers <= await self.marks()

    async def listing(self) -> Archived:
        """What is in the store."""
        store = self.deposit().store
        return read_listing([(facts.key, facts.size_bytes) async for facts in store.list("wal")])

    async def marks(self) -> set[int]:
        """The numbers of the commits whose WAL the store holds; looked for again where pieces became a segment."""
        for _ in range(READ_LIMIT):
            with suppress(ObjectNotFoundError):
                return await self._marks()
        raise AssertionError("what is listed went each time before it was read")

    async def _marks(self) -> set[int]:
        archived, deposit = await self.listing(), self.deposit()
        keys = [segment_key(segment) for segment in archived.segments]
        found: set[int] = set()
        for key in keys:
            found.update(int(number) for number in MARK.findall(await deposit.read(key)))
        for pieces in pieces_by_segment(archived).values():
            raw = b"".join([await deposit.read(piece_key(piece)) for piece in coverage(pieces)])
            found.update(int(number) for number in MARK.findall(raw))
        return found

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Some two hundred commits a second for as long as the block runs; each acknowledged one is noted."""
        async with outlive.connect(self.dsn) as db:
            await db.execute("create table if not exists marks (x text)")
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(2):
                    tasks.create_task(self._commit(db, stop))
                try:
                    yield
                finally:
                    stop.set()

    async def _commit(self, db: outlive.Cluster, stop: asyncio.Event) -> None:
        while not stop.is_set():
            number = next(self.numbers)
            mark = f"marked-{number:09d}-"  # twice: a page's header may stand within one of them
            try:
                async with asyncio.timeout(15.0):
                    await db.execute("insert into marks values ($1)", mark + "x" * 100 + mark)
            except (outlive.OutliveError, TimeoutError):
                continue
            self.written.append((number, datetime.now(UTC)))
            await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def archived() -> Iterator[Archived3]:
    """Made with `--storage`, and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="outlive-archive-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        store = Path(scratch) / "store"
        local = LocalCluster(Path(scratch) / "cluster", nodes=3, archive=ArchiveWish(url=f"file://{store}"))
        try:
            yield Archived3(local, asyncio.run(local.start()), store)
        finally:
            asyncio.run(local.stop())


async def test_archiving_is_turned_off_and_on(archived: Archived3) -> None:
    """A running cluster stops archiving and begins again; wishing for what is there already changes nothing."""
    wish = ArchiveWish(url=f"file://{archived.store}")
    assert not archiving.write(archived.local.directory, wish)
    assert archiving.write(archived.local.directory, None)
    await archiving.apply(archived.local.directory, lambda _line: None, timeout_s=LIMIT_S)
    await until(lambda: archived.archivers() == [None, None, None], LIMIT_S)
    assert archiving.write(archived.local.directory, wish)
    await archiving.apply(archived.local.directory, lambda _line: None, timeout_s=LIMIT_S)
    moment = datetime.now(UTC)
    await until(lambda: archived.proved_at() > moment, LIMIT_S)
    await until(lambda: None not in archived.archivers(), LIMIT_S)


async def test_a_lost_primary_and_then_every_node(archived: Archived3, capsys: pytest.CaptureFixture[str]) -> None:
    """A failover under load leaves no gap and loses nothing; killing every node at once loses seconds at most.

    That is: under load the store's word comes to be younger than the objective, and what it says holds. How old it is
    at a moment that the test chooses is the machine's affair.
    """
    async with archived.load():
        await until(lambda: len(archived.written) > 300, LIMIT_S)
        first = await archived.local.primary()
        archived.local.kill_node(first)
        before = len(archived.written)
        await until(lambda: len(archived.written) > before + 300, LIMIT_S)
    await until(lambda: archived.proved_at() > archived.written[-1][1], LIMIT_S)
    # What lies before the segment in which the new primary began is for PostgreSQL to bring, when it comes to it.
    numbers = {number for number, _ in archived.written}
    await until(lambda: archived.has(numbers), LIMIT_S)
    await archived.local.start()
    await until(lambda: _continuous(archived), LIMIT_S)

    archived.written.clear()
    async with archived.load():
        await until(lambda: len(archived.written) > 600, LIMIT_S)
        await until(lambda: (datetime.now(UTC) - archived.proved_at()).total_seconds() < OBJECTIVE_S, LIMIT_S)
        archived.local.kill_everything()  # in the same step, so that nothing is acknowledged in between
        killed_at = datetime.now(UTC)
    acknowledged = [(number, at) for number, at in archived.written if at <= killed_at]
    stored = await archived.marks()
    lost = [at for number, at in acknowledged if number not in stored]
    lost_s = (acknowledged[-1][1] - min(lost)).total_seconds() if lost else 0.0
    with capsys.disabled():
        rate = len(acknowledged) / (acknowledged[-1][1] - acknowledged[0][1]).total_seconds()
        sys.stdout.write(f"\nall killed at {rate:.0f} commits/s: {len(lost)} commits, {lost_s:.2f} s lost\n")
    assert not [at for at in lost if at < archived.proved_at()]


async def _continuous(archived: Archived3) -> bool:
    listing = await archived.listing()
    deposit = archived.deposit()
    histories = {
        timeline: parse_history(timeline, (await deposit.read(f"wal/{timeline:08X}.history")).decode())
        for timeline in listing.histories
    }
    return len(listing.histories) > 0 and find(listing, histories, DEFAULT_SEGMENT_BYTES).whole

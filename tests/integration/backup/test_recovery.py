from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from integration.backup.hand_made import HandMade, now
from integration.backup.restored import ask, restored
from integration.client.servers import Servers
from outlive.backup.keys import Keyring
from outlive.backup.plan.targets import BackupEnd, Latest, LsnTarget, NameTarget, Target, TimeTarget
from outlive.model.lsn import Lsn
from outlive.object_storage.opening import open_store


class History:
    """A table that grows by one, and what was in it when."""

    def __init__(self, made: HandMade, servers: Servers) -> None:
        self.made, self.servers = made, servers
        self.moments: dict[int, datetime] = {}
        self.positions: dict[int, Lsn] = {}

    async def write(self, number: int) -> None:
        """One more row, acknowledged at a known moment and position."""
        await self.servers.sql("n1", f"insert into entries values ({number})", "select 1")
        self.positions[number] = Lsn.parse(str(await self.servers.sql("n1", "select pg_current_wal_flush_lsn()::text")))
        self.moments[number] = now()


@pytest.fixture(scope="module")
async def history(source: Servers) -> History:
    """A full backup after 1, an incremental after 2; 3 and 4 in whole segments, 5 in streamed pieces only."""
    made = HandMade(open_store("memory://"), Keyring.of(bytes(range(32))))
    history = History(made, source)
    await source.configure("n1", summarize_wal="on", synchronous_standby_names="")
    await source.sql("n1", "create table entries (number int primary key)", "select 1")
    await history.write(1)
    await made.back_up(source, "n1", "full")
    await history.write(2)
    await made.back_up(source, "n1", "incremental", parent="full")
    await history.write(3)
    await made.point(source, "n1", "before-four")
    await history.write(4)
    await made.archive(source, "n1")
    await history.write(5)
    await made.stream(source, "n1")
    return history


async def rows(history: History, target: Target, into: Path, backup: str | None = None) -> list[int]:
    """What is in the table after a restore."""
    async with restored(history.made.material(), target, into, backup) as (_, server):
        found = await ask(server, "select array_agg(number order by number) from entries")
        assert isinstance(found, list)
        return found


async def test_all_that_was_streamed_comes_back(history: History, room: Path) -> None:
    """`latest` from an incremental brings whole segments and the pieces of the one that was being written."""
    assert await rows(history, Latest(), room / "data") == [1, 2, 3, 4, 5]


async def test_a_moment_brings_what_was_committed_until_then(history: History, room: Path) -> None:
    """A time between two commits brings the first and not the second."""
    assert await rows(history, TimeTarget(history.moments[3]), room / "data") == [1, 2, 3]


async def test_the_newest_moment_has_no_record_behind_it(history: History, room: Path) -> None:
    """Where nothing was written after the wanted moment, or position, all that there is comes back."""
    newest = history.made.covered[-1].at
    one, two = await asyncio.gather(
        rows(history, TimeTarget(newest), room / "one", "full"),
        rows(history, LsnTarget(history.positions[5]), room / "two", "full"),
    )
    assert one == two == [1, 2, 3, 4, 5]


async def test_a_position_brings_what_was_written_before_it(history: History, room: Path) -> None:
    """An LSN that a commit was acknowledged with brings that commit and not the next one."""
    assert await rows(history, LsnTarget(history.positions[3]), room / "data", "full") == [1, 2, 3]


async def test_a_name_and_a_backup_are_targets_too(history: History, room: Path) -> None:
    """A restore point brings what was before it; a backup alone brings itself."""
    named, alone = await asyncio.gather(
        rows(history, NameTarget("before-four"), room / "one"), rows(history, BackupEnd(), room / "two", "full")
    )
    assert named == [1, 2, 3]
    assert alone == [1]

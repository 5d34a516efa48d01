"""What prune leaves of a real server's backups and WAL is restored, and holds what it held."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.backup.archiving import Archiving
from integration.backup.hand_made import PROGRAMS
from integration.backup.restored import ask, restored
from integration.client.servers import PASSWORD
from outlive.backup import keeping, pruning
from outlive.backup.codec import Codec
from outlive.backup.layout import Kind
from outlive.backup.manifest import BackupManifest
from outlive.backup.observation import observe
from outlive.backup.plan.retention import Rules
from outlive.backup.plan.targets import BackupEnd, Latest, Target
from outlive.backup.taking.create import create
from outlive.backup.taking.request import Request
from outlive.errors import ConfigurationError
from outlive.model.topology import Address
from outlive.model.wal import WalSegment
from outlive.object_storage.store import ObjectStore
from outlive.postgres.access import Access, Login


class Kept:
    """A server that writes a letter at a time, and is backed up and archived between two of them."""

    def __init__(self, archiving: Archiving) -> None:
        self._archiving = archiving
        self._servers = archiving.servers
        self.store: ObjectStore = archiving.deposit().store

    async def write(self, letter: str) -> None:
        """A row of its own, and the segment with it in the archive."""
        await self._servers.sql("n1", f"insert into letters values ('{letter}')", "select 1")
        await self._archiving.wait_for(await self._archiving.switch())

    async def back_up(self, kind: Kind = Kind.FULL) -> BackupManifest:
        """A backup of the server as it is."""
        login = Login("postgres", PASSWORD)
        address = Address("127.0.0.1", self._servers.ports["n1"])
        access = Access((address,), login, login, parameters=(("sslmode", "disable"),))
        return await create(self.store, access, Request(kind=kind, programs=PROGRAMS, codec=Codec(), or_full=False))

    async def segments(self) -> frozenset[WalSegment]:
        """What is whole in the archive; of the one that is being written more may come at any moment."""
        return (await self._archiving.archived()).segments

    async def letters(self, into: Path, target: Target, backup: str | None = None) -> object:
        """What a restore brings back."""
        _, material = await observe(self.store, None)
        async with restored(material, target, into, backup) as (_, server):
            return await ask(server, "select string_agg(letter, '' order by letter) from letters")


@pytest.fixture
async def kept(archiving: Archiving) -> Kept:
    """With summaries of WAL, so that there are incremental backups."""
    servers = archiving.servers
    await servers.sql("n1", "alter system set summarize_wal = on", "select pg_reload_conf()")
    await servers.sql("n1", "create table letters (letter text)", "select 1")
    return Kept(archiving)


async def test_what_stays_is_restored_and_what_is_kept_by_name_too(kept: Kept, room: Path) -> None:
    """The kept incremental with its parent and its own WAL, with all between them gone; and the newest moment."""
    await kept.write("a")
    first = await kept.back_up()
    await kept.write("b")
    child = await kept.back_up(Kind.INCREMENTAL)
    await kept.write("c")
    second = await kept.back_up()
    await kept.write("d")
    third = await kept.back_up()
    await kept.write("e")
    await keeping.keep(kept.store, "case", child.id, "")
    before = await kept.segments()

    pruning_now = await pruning.prepare(kept.store, Rules(count=1))
    assert [each.id for each in pruning_now.retention.goes] == [second.id]
    await pruning.apply(kept.store, pruning_now)
    assert await kept.segments() < before
    assert await kept.letters(room / "kept", BackupEnd(), child.id) == "ab"
    assert await kept.letters(room / "latest", Latest()) == "abcde"

    await keeping.release(kept.store, "case")
    again = await pruning.prepare(kept.store, Rules(count=1))
    assert [each.id for each in again.retention.goes] == [child.id, first.id]
    await pruning.apply(kept.store, again)
    assert await kept.letters(room / "after", Latest(), third.id) == "abcde"
    with pytest.raises(ConfigurationError, match="there is no backup"):
        (await observe(kept.store, None))[0].find(first.id)

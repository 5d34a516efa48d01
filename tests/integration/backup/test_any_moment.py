from __future__ import annotations

import os
import random
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from integration.backup.hand_made import HandMade, now
from integration.backup.restored import ask, restored
from integration.client.servers import NAMES, STANDBYS, Servers
from outlive.backup.plan.targets import TimeTarget
from outlive.backup.plan.verdict import LedgerFacts, Operation, ledger_complaints
from outlive.object_storage.opening import open_store

INSTANTS = 20 if os.environ.get("OUTLIVE_FAULTS") == "full" else 3
WRITES = 20
SEED = 20261124


@dataclass
class Past:
    """A cluster that failed over twice, what is archived of it, and a ledger of what was acknowledged."""

    servers: Servers
    made: HandMade
    operations: list[Operation] = field(default_factory=list)

    async def write(self, primary: str) -> None:
        """Some more rows, each acknowledged by itself; in the middle the segment is left."""
        for number in range(WRITES):
            await self.write_one(primary, f"{primary}-{number}")
            if number == WRITES // 2:
                await self.servers.sql(primary, "select pg_switch_wal()")

    async def write_one(self, primary: str, name: str) -> None:
        """One row."""
        began = now()
        await self.servers.sql(primary, f"insert into ledger values ('{name}')", "select 1")
        self.operations.append(Operation(name, began, now()))


@pytest.fixture
async def past() -> AsyncIterator[Past]:
    """A backup on the first primary; then two that are killed, each followed by a standby."""
    with tempfile.TemporaryDirectory(prefix="outlive-past-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)  # noqa: ASYNC240 - at once
        (Path(scratch) / "servers").mkdir(mode=0o700)
        servers = Servers(Path(scratch) / "servers")
        try:
            servers.create()
            for name in STANDBYS:
                servers.follow(name, "n1")
            for name in NAMES:
                servers.start(name)
            yield await _lived(Past(servers, HandMade(open_store("memory://"))))
        finally:
            servers.destroy()


async def _lived(past: Past) -> Past:
    servers, made = past.servers, past.made
    await servers.sql("n1", "create table ledger (id text primary key)", "select 1")
    await made.back_up(servers, "n1", "full")
    await past.write("n1")
    servers.kill("n1")
    second = await servers.fail_over()
    (third,) = set(STANDBYS) - {second}
    await past.write(second)
    await made.archive(servers, second)
    servers.kill(second)
    servers.promote(third)
    await servers.configure(third, synchronous_standby_names="")
    await past.write(third)
    await made.archive(servers, third)
    await past.write_one(third, "last")
    await made.stream(servers, third)
    return past


async def test_any_moment_of_a_history_with_two_failovers_comes_back(past: Past, room: Path) -> None:
    """At random instants, all that was acknowledged until then is there, and nothing that began after it."""
    chance = random.Random(SEED)
    first, last = past.made.backups["full"].finished_at, past.made.covered[-1].at
    for number in range(INSTANTS):
        at = first + timedelta(seconds=chance.uniform(0, (last - first).total_seconds()))
        async with restored(past.made.material(), TimeTarget(at), room / str(number)) as (_, server):
            there = await ask(server, "select coalesce(array_agg(id), '{}') from ledger")
        assert isinstance(there, list)
        assert ledger_complaints(LedgerFacts(tuple(past.operations), frozenset(there), at)) == [], at
    assert past.made.covered[-1].timeline == 3

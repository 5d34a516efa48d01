"""SIGKILL of everything that takes part in a push, and what must never come of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os

import pytest

from integration.backup.archiving import Archiving
from integration.client.servers import Servers
from integration.client.waiting import until
from outlive.backup.plan.archived import coverage, file_key, piece_key, pieces_by_segment, segment_key
from outlive.backup.plan.gaps import find
from outlive.errors import BackupError, ObjectNotFoundError
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, WalSegment

_FULL = os.environ.get("OUTLIVE_FAULTS") == "full"
DELAYS_S = (0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3) * 3 if _FULL else (0.0, 0.03, 0.1)
"""Moments after a segment is finished: before it is asked for, while it is read, encoded, put, compared, answered."""
LIMIT_S = 60.0


async def switched(archiving: Archiving) -> dict[str, str]:
    """Finish a segment: its name and the SHA-256 of its file, which PostgreSQL keeps until it is archived."""
    name = await archiving.switch()
    file = archiving.servers.root / "n1" / "pg_wal" / name
    return {name: hashlib.sha256(await asyncio.to_thread(file.read_bytes)).hexdigest()}


@pytest.mark.parametrize("victim", ["archiver", "client", "postgres"])
async def test_a_kill_at_any_moment_loses_nothing(archiving: Archiving, victim: str) -> None:
    """Whoever of the three is killed, whenever: every segment arrives as it was, none twice, without a gap."""
    digests: dict[str, str] = {}
    for delay_s in DELAYS_S:
        digests.update(await switched(archiving))
        await asyncio.sleep(delay_s)  # not a wait: it moves the kill through the push
        await _kill(archiving, victim)
    for name in digests:
        await archiving.wait_for(name, LIMIT_S)
    archived = await archiving.archived()
    assert find(archived, {}, DEFAULT_SEGMENT_BYTES).whole
    assert not archived.strange
    deposit = archiving.deposit()
    for name, digest in digests.items():
        assert hashlib.sha256(await deposit.read(segment_key(WalSegment.parse(name)))).hexdigest() == digest


async def _kill(archiving: Archiving, victim: str) -> None:
    match victim:
        case "archiver":
            archiving.kill()
            archiving.start()
        case "client":
            archiving.kill_clients()
        case _:
            await asyncio.to_thread(archiving.servers.kill, "n1")
            await asyncio.to_thread(archiving.servers.start, "n1")


async def test_two_nodes_that_push_the_same_file(archiving: Archiving) -> None:
    """Of two nodes with the same content both succeed and one has stored it; with other content one is refused."""
    one, other = archiving.deposit(), archiving.deposit()
    for name, raw, different in (("00000009.history", b"1\t0/1000\tx\n", False), ("0000000A.history", b"a\n", True)):
        key = file_key(name)
        second = b"b\n" if different else raw
        outcomes = await asyncio.gather(
            one.put(key, raw, hashlib.sha256(raw).hexdigest()),
            other.put(key, second, hashlib.sha256(second).hexdigest()),
            return_exceptions=True,
        )
        assert outcomes.count(True) == 1
        loser = next(outcome for outcome in outcomes if outcome is not True)
        assert isinstance(loser, BackupError) if different else loser is False
        assert await one.read(key) in {raw, second}
        await one.store.delete([key])


async def test_streaming_never_counts_as_a_synchronous_standby(archiving: Archiving) -> None:
    """With `*` as the synchronous standbys and only the archiver there, a commit in the store stays unacknowledged."""
    servers = archiving.servers
    await servers.sql("n1", "create table if not exists lonely (x text)", "select 1")
    await servers.configure("n1", synchronous_standby_names="*")
    # A commit waits once the checkpointer has heard of it too, which it does before each checkpoint but perhaps one.
    await servers.sql("n1", "checkpoint", "checkpoint", "select 1")
    commit = asyncio.create_task(servers.sql("n1", "insert into lonely values ('waits-for-a-standby')", "select 1"))
    try:
        await until(lambda: _streamed(archiving, b"waits-for-a-standby"), LIMIT_S)
        waiting = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
        # Its WAL can be in the store before it has come to wait.
        await until(lambda: _is_one(servers, waiting), LIMIT_S)
        assert await servers.sql("n1", "select count(*) from pg_stat_replication") == 0
        assert not commit.done()
    finally:
        await servers.configure("n1", synchronous_standby_names="")
        await asyncio.wait_for(commit, LIMIT_S)


async def _is_one(servers: Servers, question: str) -> bool:
    return await servers.sql("n1", question) == 1


async def _streamed(archiving: Archiving, wanted: bytes) -> bool:
    archived, deposit = await archiving.archived(), archiving.deposit()
    for pieces in pieces_by_segment(archived).values():
        # Those of a segment that came whole meanwhile are gone by now.
        with contextlib.suppress(ObjectNotFoundError):
            raw = b"".join([await deposit.read(piece_key(piece)) for piece in coverage(pieces)])
            if wanted in raw:
                return True
    return False

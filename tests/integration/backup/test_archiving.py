"""WAL of a real server in a real store: never acknowledged before it is durable, never lost, never mixed up."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from integration.backup.archiving import Archiving
from integration.client.waiting import until
from outlive.backup import archive_client
from outlive.backup.plan.archived import coverage, covered_bytes, file_key, piece_key
from outlive.postgres import identity

SIZE = 16 * 1024 * 1024
LIMIT_S = 60.0


def ask(archiving: Archiving, name: str) -> subprocess.CompletedProcess[str]:
    """Run the archive command for a file, as PostgreSQL does."""
    line, options = identity.command(
        archiving.servers.account,
        [sys.executable, "-ISs", archive_client.__file__, archiving.config("n1").socket, name],
    )
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=60, cwd="/", **options)


async def test_a_segment_is_stored_as_it_is(archiving: Archiving) -> None:
    """What is read back from the store is the file of pg_wal, byte for byte, and its pieces are gone."""
    name = await archiving.switch()
    original = archiving.servers.root / "n1" / "pg_wal" / name
    content = original.read_bytes()
    await archiving.wait_for(name)
    deposit = archiving.deposit()
    assert await deposit.read(file_key(name)) == content
    await until(lambda: _no_pieces(archiving, name), LIMIT_S)


async def _no_pieces(archiving: Archiving, name: str) -> bool:
    return not [piece for piece in (await archiving.archived()).pieces if piece.segment.name == name]


async def test_the_same_content_again_is_success(archiving: Archiving) -> None:
    """PostgreSQL may ask for a file again after a crash: what is durable already is acknowledged."""
    name = await archiving.switch()
    await archiving.wait_for(name)
    asked = ask(archiving, name)
    assert (asked.returncode, asked.stderr) == (0, "")


async def test_other_content_of_the_same_name_is_refused(archiving: Archiving) -> None:
    """A segment of that name with other bytes in the store is never overwritten, and never acknowledged."""
    name = await archiving.switch()
    await archiving.wait_for(name)
    deposit, key = archiving.deposit(), file_key(name)
    kept = await deposit.store.get(key)
    await deposit.store.delete([key])
    assert await deposit.put(key, b"of another server", "0" * 64)
    archiving.kill()
    archiving.start()
    await until(lambda: "does not answer" not in ask(archiving, name).stderr, LIMIT_S)
    asked = ask(archiving, name)
    assert asked.returncode == 1
    assert "in the store with other content" in asked.stderr
    await until(lambda: name in archiving.state().refused, LIMIT_S)
    assert await deposit.read(key) == b"of another server"
    await deposit.store.put(key, kept)
    # PostgreSQL may have asked too, before: who asks while that is looked into gets the same answer.
    await until(lambda: ask(archiving, name).returncode == 0, LIMIT_S)
    await until(lambda: name not in archiving.state().refused, LIMIT_S)


async def test_a_file_that_is_not_what_it_is_called_is_refused(archiving: Archiving) -> None:
    """A copy of a segment under another segment's name never reaches the store."""
    name = await archiving.switch()
    pg_wal = archiving.servers.root / "n1" / "pg_wal"
    foreign = pg_wal / "0000000100000000000000F0"
    foreign.write_bytes((pg_wal / name).read_bytes())
    identity.own(archiving.servers.account, [foreign])
    asked = ask(archiving, foreign.name)
    foreign.unlink()
    assert asked.returncode == 1
    assert "is not that segment: it begins at" in asked.stderr
    assert not await archiving.has(foreign.name)


@pytest.mark.parametrize("name", ["../../PG_VERSION", "postgresql.conf", "", "00000001000000000000000G"])
def test_only_wal_is_taken(archiving: Archiving, name: str) -> None:
    """Whatever is no file of WAL is refused by its name."""
    asked = ask(archiving, name)
    assert asked.returncode == 1
    assert "names no file of WAL" in asked.stderr


def test_without_an_archiver_nothing_is_acknowledged(archiving: Archiving) -> None:
    """A client that reaches nobody ends with 1, which makes PostgreSQL keep the file."""
    line, options = identity.command(
        archiving.servers.account, [sys.executable, "-ISs", archive_client.__file__, "outlive-test-nobody", "x"]
    )
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=60, cwd="/", **options)
    assert done.returncode == 1
    assert "does not answer" in done.stderr


async def test_the_segment_being_written_is_streamed(archiving: Archiving) -> None:
    """A commit is in the store soon after, without its segment being finished, and the store says until when."""
    await archiving.servers.sql("n1", "create table if not exists streamed (x text)", "select 1")
    await archiving.servers.sql("n1", "insert into streamed values ('streamed-marker')", "select 1")
    acknowledged_at = datetime.now(UTC)  # what is proved of a moment before says nothing of the commit

    async def proved() -> bool:
        proved_at = archiving.state().proved_at
        return proved_at is not None and proved_at > acknowledged_at

    await until(proved, LIMIT_S)
    archived = await archiving.archived()
    segment = max(piece.segment for piece in archived.pieces)
    pieces = [piece for piece in archived.pieces if piece.segment == segment]
    deposit = archiving.deposit()

    raw = b"".join([await deposit.read(piece_key(piece)) for piece in coverage(pieces)])
    original = (archiving.servers.root / "n1" / "pg_wal" / segment.name).read_bytes()
    assert b"streamed-marker" in raw
    assert original.startswith(raw)
    assert covered_bytes(pieces) == len(raw)


def test_a_second_archiver_of_the_same_node_is_refused(archiving: Archiving) -> None:
    """Two archivers on one socket can't be: the second one says so in a sentence, and the first works on."""
    line, options = identity.command(
        archiving.servers.account, [sys.executable, "-m", "outlive.backup.archiver", str(archiving.home / "n1.config")]
    )
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=60, cwd="/", **options)
    assert done.returncode == 2
    assert "can't be opened" in done.stderr
    assert "Traceback" not in done.stderr

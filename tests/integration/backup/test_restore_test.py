from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from integration.backup.hand_made import HandMade, base_backup, now
from integration.client.servers import Servers
from integration.client.waiting import until
from outlive import stores
from outlive.backup import codec
from outlive.backup.codec import Codec
from outlive.backup.keys import Keyring
from outlive.backup.plan.archived import file_key
from outlive.backup.plan.verdict import Operation
from outlive.backup.proving import evidence as kept
from outlive.backup.proving import restore_test
from outlive.backup.proving.evidence import FAILED, VERIFIED, Evidence
from outlive.backup.proving.examination import Ledger
from outlive.backup.proving.restore_test import Trial
from outlive.backup.restoring.scratch import PREFIX
from outlive.errors import ConfigurationError
from outlive.model.wal import WalSegment
from outlive.object_storage.opening import open_store

FULL = "20261124T220000Z-full"
QUERY = "select id from ledger"
LIMIT_S = 120.0
DROP = "drop schema outlive cascade; drop schema public cascade"


@dataclass
class Taken:
    """A backup whose WAL is in the store, its tar, and the ledger of what was done after it."""

    made: HandMade
    tar: bytes
    operations: tuple[Operation, ...]
    plain: dict[str, bytes]
    stored_tar: bytes

    @property
    def trial(self) -> Trial:
        """A test of the whole backup, at the newest instant."""
        at = self.made.covered[-1].at
        ledger = Ledger(database="postgres", query=QUERY, operations=self.operations)
        return Trial(backup=self.made.manifest(FULL), at=at, ledger=ledger)


@pytest.fixture(scope="module")
async def taken(source: Servers) -> Taken:
    """Some of an agent's state, a backup of it, and ten more operations in three segments of WAL."""
    made = HandMade(open_store("memory://"), Keyring.of(bytes(range(32))))
    await source.configure("n1", synchronous_standby_names="")
    await source.sql("n1", "create table ledger (id text primary key, body text)", "select 1")
    await source.sql("n1", "insert into ledger select 'early-' || n, repeat('x', 100) from generate_series(1, 500) n",
                     "select 1")  # fmt: skip
    await stores.migrate(source.dsn(names=("n1",)))
    tar = base_backup(source, "n1")
    await made.back_up(source, "n1", FULL, spoil=tar)
    await until(lambda: counted_exactly(made, source), LIMIT_S)
    operations = []
    for number in range(9):
        began = now()
        await source.sql("n1", f"insert into ledger values ('late-{number}', 'x')", "select 1")
        operations.append(Operation(f"late-{number}", began, now()))
        if number % 3 == 2:
            await made.archive(source, "n1")
    plain = {file_key(each.name): await made.store.get(file_key(each.name)) for each in made.segments}
    return Taken(made, tar, tuple(operations), plain, await made.store.get(f"backups/{FULL}/base.tar"))


async def counted_exactly(made: HandMade, source: Servers) -> bool:
    """Count the rows; whether nobody wrote WAL meanwhile, an autovacuum say: only then are they compared."""
    await made.count(source, "n1", FULL)
    return all(each.lsn == each.until_lsn for each in made.counts[FULL])


async def proved(taken: Taken, trial: Trial | None = None) -> Evidence:
    """What comes of the test."""
    return await restore_test.run(taken.made.material(), trial or taken.trial)


async def test_a_whole_backup_is_verified(taken: Taken) -> None:
    """Rows as counted, references, rules, amcheck, checksums and the ledger were all looked at, and are right."""
    evidence = await proved(taken)
    assert (evidence.status, evidence.complaints) == (VERIFIED, ())
    assert evidence.compared
    assert evidence.rows > 500
    assert {"ledger", "amcheck", "page_checksums", "rows_as_counted", "not_empty"} <= set(evidence.checks)
    assert "postgres.no_hole_in_a_conversation" in evidence.checks
    assert evidence.seconds["total"] == pytest.approx(
        sum(evidence.seconds[name] for name in ("fetch", "extract", "replay", "check")), abs=0.01
    )
    again = await proved(taken, replace(taken.trial, at=None, ledger=None, limit_s=0.01))
    assert again.status == FAILED
    assert "may take 0 s" in again.complaints[-1]
    stored = await kept.read_all(taken.made.store, FULL)
    assert kept.broken_link(stored) is None
    assert kept.broken_link(stored[1:]) == stored[1][0]


async def test_what_was_acknowledged_and_is_not_there_is_told(taken: Taken) -> None:
    """A ledger that knows more than the database, and one that knows nothing, don't verify it."""
    assert taken.trial.ledger is not None
    lost = Operation("lost", now(), taken.operations[0].acknowledged_at)
    more = replace(taken.trial.ledger, operations=(*taken.operations, lost))
    evidence = await proved(taken, replace(taken.trial, ledger=more))
    assert evidence.status == FAILED
    assert "1 of 10 acknowledged operations are missing: lost" in evidence.complaints[0]


Plant = Callable[[Taken], "dict[str, bytes]"]


def _tar(change: Callable[[tarfile.TarInfo, bytes], bytes | None]) -> Plant:
    """The backup's tar with some of its members changed or left out."""

    def plant(taken: Taken) -> dict[str, bytes]:
        changed = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(taken.tar)) as old, tarfile.open(fileobj=changed, mode="w") as new:
            for member in old:
                content = old.extractfile(member)
                if content is None:
                    new.addfile(member)
                    continue
                kept_content = change(member, content.read())
                if kept_content is not None:
                    member.size = len(kept_content)
                    new.addfile(member, io.BytesIO(kept_content))
        key = f"backups/{FULL}/base.tar"
        return {key: codec.encode_bytes(changed.getvalue(), Codec(keyring=taken.made.keyring), key)}

    return plant


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _heap_bit(member: tarfile.TarInfo, content: bytes) -> bytes | None:
    table = member.name.startswith("./base/5/1") or member.name.startswith("base/5/1")
    return _flipped(content, 8000) if table and len(content) > 60_000 and b"early-1" in content else content


def _without(name: str) -> Callable[[tarfile.TarInfo, bytes], bytes | None]:
    return lambda member, content: None if member.name.removeprefix("./") == name else content


def _without_relation(member: tarfile.TarInfo, content: bytes) -> bytes | None:
    return None if "/base/5/" in f"/{member.name}" and b"early-1" in content else content


def _middle(taken: Taken) -> WalSegment:
    return sorted(taken.made.segments)[-2]


def _stored(change: Callable[[Taken, str], bytes]) -> Plant:
    """The segment in the middle with other content."""

    def plant(taken: Taken) -> dict[str, bytes]:
        key = file_key(_middle(taken).name)
        return {key: change(taken, key)}

    return plant


def _encoded(taken: Taken, key: str, raw: bytes) -> bytes:
    return codec.encode_bytes(raw, Codec(keyring=taken.made.keyring), key)


def _raw(taken: Taken, segment: WalSegment) -> bytes:
    key = file_key(segment.name)
    return codec.decode_bytes(taken.plain[key], taken.made.keyring, key)


def _foreign(taken: Taken, key: str) -> bytes:
    return _encoded(taken, key, _flipped(_raw(taken, _middle(taken)), 26))


def _doubled(taken: Taken, key: str) -> bytes:
    return _encoded(taken, key, _raw(taken, sorted(taken.made.segments)[-3]))


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        pytest.param(_tar(_heap_bit), "checksum mismatch", id="a flipped bit of a table"),
        pytest.param(_tar(_without("backup_label")), '"backup_label" is present in the manifest', id="no backup_label"),
        pytest.param(_tar(_without_relation), "is present in the manifest but not on disk", id="a relation's file"),
        pytest.param(_tar(_without("backup_manifest")), "backup_manifest", id="no manifest"),
        pytest.param(
            lambda taken: {f"backups/{FULL}/base.tar": _flipped(taken.stored_tar, len(taken.stored_tar) // 2)},
            "is damaged, or not of this place",
            id="a flipped byte of the tar",
        ),
        pytest.param(
            _stored(lambda taken, key: _flipped(taken.plain[key], len(taken.plain[key]) - 40)),
            "damaged",
            id="a byte of the WAL",
        ),
        pytest.param(_stored(lambda taken, key: taken.plain[key][:-9]), "it was cut short", id="a cut segment"),
        pytest.param(_stored(_doubled), "another segment's content", id="a doubled segment"),
        pytest.param(_stored(_foreign), "it belongs to the cluster", id="a foreign segment"),
    ],
)
async def test_a_planted_defect_is_found(taken: Taken, plant: Plant, message: str) -> None:
    """What a server would start with, or would take for the end of the WAL, is told for what it is."""
    planted = plant(taken)
    before = {key: await taken.made.store.get(key) for key in planted}
    try:
        for key, content in planted.items():
            await taken.made.store.put(key, content)
        evidence = await proved(taken)
    finally:
        for key, content in before.items():
            await taken.made.store.put(key, content)
    assert evidence.status == FAILED
    assert message in evidence.complaints[0]


async def test_missing_wal_is_named(taken: Taken) -> None:
    """A segment that the listing lacks is a gap; one that goes between listing and recovery stops recovery."""
    lost = _middle(taken)
    key = file_key(lost.name)
    await taken.made.store.delete([key])
    try:
        gone = await proved(taken)
        taken.made.lose(lost)
        holed = await proved(taken)
    finally:
        taken.made.segments.add(lost)
        await taken.made.store.put(key, taken.plain[key])
    assert f"{lost.name} was in the store when the restore began" in gone.complaints[0]
    assert f"WAL segment {lost.name} is missing" in holed.complaints[0]
    assert gone.status == holed.status == FAILED


async def test_a_wrong_key_is_told_before_anything_is_tried(taken: Taken) -> None:
    """Without its key a backup can't be tested, which is no evidence against it."""
    taken.made.corrected(FULL, key_id="c0ffee")
    try:
        with pytest.raises(ConfigurationError, match="c0ffee"):
            await proved(taken)
    finally:
        assert taken.made.keyring is not None
        taken.made.corrected(FULL, key_id=taken.made.keyring.writing.id)


async def test_evidence_of_tests_that_end_at_once_makes_one_chain() -> None:
    """None is lost, none is written over, and each holds the hash of the one before it."""
    store = open_store("memory://")
    made = Evidence(status=FAILED, at=now(), backup=FULL, chain=(), target="latest", outlive_version="0")
    linked = await asyncio.gather(
        *(kept.keep(store, msgspec.structs.replace(made, tables=number)) for number in range(6))
    )
    stored = await kept.read_all(store, FULL)
    assert len({each.previous for each in linked}) == len(stored) == 6
    assert kept.broken_link(stored) is None


async def test_nothing_is_left_of_a_test(taken: Taken, room: Path) -> None:
    """The scratch directory is empty after a test, and what a killed one has left is removed by the next."""
    left = room / f"{PREFIX}left" / ".outlive-restore"
    left.mkdir(parents=True)
    (left / "marker.json").write_text('{"started_at": "", "source": ""}')
    await proved(taken, replace(taken.trial, scratch=room, ledger=None))
    assert not list(room.iterdir())  # noqa: ASYNC240 - a handful of names


async def test_an_emptied_database_is_never_verified(taken: Taken, source: Servers) -> None:
    """At an instant after everything was deleted, and then dropped; the last test here: it spoils the server."""
    tables = "select format('truncate %s cascade', string_agg(format('%I.%I', schemaname, tablename), ', ')) "
    emptied = await source.sql("n1", tables + "from pg_tables where schemaname in ('public', 'outlive')")
    for spoil, complaint in ((emptied, "there is no row"), (DROP, "there is no table")):
        await source.sql("n1", str(spoil), "select 1")
        await taken.made.archive(source, "n1")
        evidence = await proved(taken, replace(taken.trial, ledger=None))
        assert evidence.status == FAILED
        assert any(complaint in each for each in evidence.complaints), evidence.complaints

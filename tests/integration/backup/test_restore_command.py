"""What `outlive restore`, `outlive backup point` and `outlive proof` say and do, as commands, on one server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import pytest

import outlive
from integration.backup.estate import Estate, an_estate
from outlive import Receipt, Transaction, stores
from outlive.errors import NotFoundError
from outlive.object_storage.opening import open_store
from outlive.postgres import programs
from outlive.stores import AgentState, Conversations
from outlive.testing.object_store import SeaweedFS

NOT_FOUND = NotFoundError.exit_code


@dataclass(frozen=True)
class Past:
    """A conversation of two turns, a table of three rows, and what was when."""

    estate: Estate
    backup: str
    receipt: Receipt
    one_turn_at: datetime
    end: datetime


@pytest.fixture(scope="module")
def estate(s3: SeaweedFS) -> Iterator[Estate]:
    """A server of its own."""
    with an_estate(s3, programs.directory(None), "commands") as made:
        yield made


@pytest.fixture(scope="module")
async def past(estate: Estate) -> Past:
    """One backup; after it a turn, a moment, another turn; a row, a name, another row; all of it archived."""
    await stores.migrate(estate.dsn)
    await estate.written("create table entries as select 1 as number")
    backup = await estate.told("backup", "create", "--dsn", estate.dsn, "--from", "primary")
    async with outlive.connect(estate.dsn, degraded="allow") as db:
        conversations = AgentState(db).conversations
        await _say(conversations, "kept")
        one_turn_at = await estate.written("select 1")
        await _say(conversations, "said later")
        receipts: list[Receipt] = []
        await db.run(_another_row, on_receipt=receipts.append)
        receipt = await db.locate(receipts[-1])
    named = await estate.told("backup", "point", "before-three", "--dsn", estate.dsn)
    assert named["name"] == "before-three"
    end = await estate.written("insert into entries values (3)")
    await estate.arrived(end)
    return Past(estate, backup["id"], receipt, one_turn_at, end)


async def _say(conversations: Conversations, words: str) -> None:
    async with await conversations.open("booking", worker="w1") as held:
        await held.append(words, "user", words)


async def _another_row(tx: Transaction) -> None:
    await tx.execute("insert into entries values (2)")


async def test_one_conversation_as_it_was(past: Past) -> None:
    """It comes back beside the live one, under an id that says as of when; doing it again changes nothing."""
    estate, at = past.estate, past.one_turn_at
    asked = ("restore", "--to-time", at.isoformat(), "--dsn", estate.dsn, "--database", "postgres")
    back = await estate.told(*asked, "--conversation", "booking")
    assert (back["conversation"], back["turns"], back["backup"]) == (f"booking@{at.isoformat()}", 1, past.backup)
    assert f"booking@{at.isoformat()}: 1 turns" in await estate.outlive(*asked, "--conversation", "booking")
    async with outlive.connect(estate.dsn, degraded="allow") as db:
        conversations = AgentState(db).conversations
        assert [turn.content for turn in (await conversations.load(back["conversation"])).turns] == ["kept"]
        assert len((await conversations.load("booking")).turns) == 2
    refused = await estate.outlive(*asked, "--conversation", "never", status=NOT_FOUND)
    assert "no conversation 'never'" in refused


async def test_to_a_name_and_over_what_is_put_aside(past: Past) -> None:
    """A restore point brings what was before it; a directory that isn't empty is refused until it is named again."""
    estate, into = past.estate, past.estate.room / "named"
    into.mkdir()
    (into / "mine").write_text("mine")
    asked = ("restore", "--into", into, "--to-name", "before-three")
    assert "is not empty" in await estate.outlive(*asked, status=2)
    assert "is not empty" in await estate.outlive(*asked, "--replace", estate.room, status=2)
    assert (into / "mine").read_text() == "mine"
    restored = await estate.told(*asked, "--replace", into, "--start")
    assert await estate.numbers(restored["port"]) == [1, 2]
    await estate.stopped(into)
    (aside,) = estate.room.glob("named.replaced-*")
    assert (aside / "mine").read_text() == "mine"


async def test_a_name_is_given_once(past: Past) -> None:
    """A second one of that name is refused, and one that nobody gave is answered with those that there are."""
    point = ("backup", "point", "before-three", "--dsn", past.estate.dsn)
    assert "there is a restore point 'before-three' already" in await past.estate.outlive(*point, status=2)
    unknown = ("restore", "--into", past.estate.room / "none-such", "--to-name", "before-four")
    said = await past.estate.outlive(*unknown, status=2)
    assert "no restore point 'before-four'" in said
    assert "before-three" in said


async def test_as_a_cluster(past: Past) -> None:
    """The restored data is the new cluster's, under a DSN of its own, and the old server is not touched."""
    estate, root = past.estate, past.estate.room / "cluster"
    made = await estate.told("restore", "--into", root, "--as-cluster", "--nodes", "1")
    try:
        async with outlive.connect(made["dsn"], degraded="allow") as db:
            rows = await db.fetch("select count(*) from pg_database")
            assert rows[0][0] >= 3
    finally:
        await estate.outlive("down", "--dir", root, stored=False)
    assert await estate.servers.sql("n1", "select count(*) from entries") == 3


async def test_the_proof_of_a_commit(past: Past) -> None:
    """A receipt and a conversation are followed to the node, the segment, the backup and the restore test."""
    estate = past.estate
    node = f"127.0.0.1:{estate.servers.ports['n1']}"
    for what in (str(past.receipt), "booking"):
        asked = ("proof", what, "--dsn", estate.dsn)
        known = await estate.told(*asked)
        assert known["replicated_to"] == [node]
        assert known["covered_by"] == past.backup
        assert known["archived_in"]
        text = await estate.outlive(*asked)
        assert f"replicated  {node}" in text
        assert f"backup      {past.backup}" in text
        assert "archived    in " in text
        assert "proved      not yet" in text
    receipt = ("proof", str(past.receipt), "--dsn", estate.dsn)
    await estate.told("backup", "verify", "--at", past.end.isoformat())
    assert (await estate.told(*receipt))["proved_by"]["backup"] == past.backup
    assert f"proved      by the restore of {past.backup}" in await estate.outlive(*receipt)
    assert "no conversation 'never'" in await estate.outlive("proof", "never", "--dsn", estate.dsn, status=NOT_FOUND)


async def test_what_the_store_has_lost_is_named(past: Past) -> None:
    """A manifest, a parent, a byte, a history, a key: the restore names what is wrong, and leaves no directory."""
    estate = replace(past.estate, apart="defects")
    create = ("backup", "create", "--dsn", estate.dsn, "--from", "primary")
    await estate.servers.configure("n1", summarize_wal="on")
    full = (await estate.told(*create))["id"]
    child = (await estate.told(*create, "--type", "incremental", "--or-fail"))["id"]
    store = open_store(estate.s3.url(prefix="defects"), estate.s3.options())
    manifest, tar = f"backups/{full}/manifest.json", f"backups/{full}/base.tar"
    flipped = bytearray(await store.get(tar))
    flipped[len(flipped) // 2] ^= 1
    foreign = f"wal/00000002/00000002{0x42:016X}"  # its name is all that counts
    planted: tuple[tuple[dict[str, bytes | None], tuple[str, ...], int, str], ...] = (
        ({manifest: None}, ("--backup", full), 9, f"{full} has no manifest"),
        ({manifest: None, tar: None}, ("--backup", child), 9, f"builds on {full}, which is not in the store"),
        ({tar: bytes(flipped)}, ("--backup", child), 9, "is damaged, or not of this place"),
        ({foreign: b"x" * 100}, ("--latest",), 9, "the store lacks 00000002.history"),
    )
    for changes, words, status, said in planted:
        before = {key: await store.get(key) for key in changes if key != foreign}
        for key, content in changes.items():
            await (store.delete([key]) if content is None else store.put(key, content))
        assert said in await estate.outlive("restore", "--into", estate.room / "broken", *words, status=status)
        await store.delete([foreign])
        for key, content in before.items():
            await store.put(key, content)
        assert not list(estate.room.glob("broken/*"))
    stranger = replace(estate, key=base64.b64encode(bytes(32)).decode())
    told = await stranger.outlive("restore", "--into", estate.room / "broken", "--backup", full, status=2)
    assert f"backup {full} is encrypted with key" in told

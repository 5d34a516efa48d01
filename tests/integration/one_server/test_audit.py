"""The audit log is appended to, by nobody changed, and every change that a superuser makes is found."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

import outlive
from outlive.errors import KeyReusedError, UnstorableError
from outlive.stores import AgentState, AuditReport, Flaw
from outlive.stores.plan.audit_chain import entry_hash


@pytest.fixture
async def tampering(superuser: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A superuser, before whom the log is empty."""
    await superuser.execute("truncate outlive.audit, outlive.audit_heads")
    yield superuser
    await superuser.execute("truncate outlive.audit, outlive.audit_heads")


async def _five(state: AgentState) -> None:
    for n in range(1, 6):
        await state.audit.record("tool.called", actor="worker-a", subject=f"trip-{n}", details={"n": n})


def _found(report: AuditReport) -> list[tuple[Flaw, int]]:
    return [(defect.flaw, defect.position) for defect in report.defects]


@pytest.mark.usefixtures("tampering")
async def test_entries_are_chained_and_come_back(state: AgentState) -> None:
    """The database and the program agree about each hash, whatever characters are in it."""
    odd = {"text": 'é,3:"\\ \U0001f600 ' + "x" * 300, "number": 1.50, "nothing": None}
    first = await state.audit.record("a,b", actor="ä:1", details=odd)
    second = await state.audit.record("c", actor="ä:1", subject="s")
    assert (first.position, second.position, second.previous) == (1, 2, first.hash)
    assert entry_hash(first) == first.hash
    assert first.details == odd
    assert await state.audit.last() == (second, first)
    assert await state.audit.last(action="c") == (second,)
    assert await state.audit.last(before=2) == (first,)
    report = await state.audit.verify()
    assert (report.streams, report.entries, report.defects) == (1, 2, ())


@pytest.mark.usefixtures("tampering")
async def test_writers_that_come_together_make_one_chain(state: AgentState, database: str) -> None:
    """Forty entries by two clients at once, in two streams, without a hole and without a fork."""
    async with outlive.connect(database, degraded="allow") as other:
        states = (state, AgentState(other))
        await asyncio.gather(
            *(states[n % 2].audit.record("n", actor="w", details=n, stream=f"s{n % 4 // 2}") for n in range(40))
        )
    report = await state.audit.verify(page=7)
    assert (report.streams, report.entries, report.defects) == (2, 40, ())


@pytest.mark.usefixtures("tampering")
async def test_an_entry_of_a_transaction_is_there_with_it_only(state: AgentState, db: outlive.Cluster) -> None:
    """What was rolled back was not logged, and leaves no hole."""

    async def fail(tx: outlive.Transaction) -> None:
        await state.audit.record("failed", actor="w", tx=tx)
        await tx.execute("select 1/0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await db.run(fail)
    async for tx in db.transaction():
        async with tx:
            await state.audit.record("done", actor="w", tx=tx)
    assert [entry.action for entry in await state.audit.last()] == ["done"]
    assert (await state.audit.verify()).defects == ()


@pytest.mark.usefixtures("tampering")
async def test_the_same_entry_twice_is_one(db: outlive.Cluster, state: AgentState) -> None:
    """A retry after a lost answer gets the row that is there; the same id with other content is refused."""
    entry_id = uuid4()
    append = "select position from outlive.append_audit('main', $1, 'w', $2, '', '{}')"
    assert [await db.fetchval(append, entry_id, "a", read="strong") for _ in range(2)] == [1, 1]
    with pytest.raises(asyncpg.PostgresError) as refused:
        await db.fetchval(append, entry_id, "b", read="strong")
    assert refused.value.sqlstate == "OL002"
    assert (await state.audit.verify()).entries == 1
    assert KeyReusedError.code == "key-reused"


async def test_bad_entries_are_refused(state: AgentState) -> None:
    """No actor, a NUL, a value that is not JSON: nothing is appended."""
    for arguments in ({"actor": ""}, {"actor": "a\0"}, {"actor": "a", "details": {1}}, {"actor": "a", "stream": ""}):
        with pytest.raises(UnstorableError):
            await state.audit.record("x", **arguments)


async def test_even_the_owner_has_no_right_to_change_it(db: outlive.Cluster) -> None:
    """Who migrated may give itself the right again, but does nothing by mistake."""
    for sql in ("update outlive.audit set actor = 'x'", "delete from outlive.audit", "truncate outlive.audit"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(sql, idempotent=True)


DEFECTS = {
    "altered": ("update outlive.audit set details = '{\"n\":9}' where position = 3", Flaw.ALTERED, 3),
    "altered moment": ("update outlive.audit set at = at + interval '1 us' where position = 1", Flaw.ALTERED, 1),
    "altered and hashed": (
        "update outlive.audit set actor = 'x', actor_seal = outlive.audit_seal(actor_salt, 'x') where position = 2;"
        "update outlive.audit as a set hash = outlive.audit_hash(a) where position = 2",
        Flaw.UNLINKED,
        3,
    ),
    "missing": ("delete from outlive.audit where position = 2", Flaw.MISSING, 2),
    "missing first": ("delete from outlive.audit where position = 1", Flaw.MISSING, 1),
    "missing and renumbered": (
        "delete from outlive.audit where position = 2;"
        "update outlive.audit set position = 100 + position where position > 2;"
        "update outlive.audit set position = position - 101 where position > 100",
        Flaw.UNLINKED,
        2,
    ),
    "cut": ("delete from outlive.audit where position >= 4", Flaw.CUT, 4),
    "reordered": (
        "update outlive.audit set position = 99 where position = 2;"
        "update outlive.audit set position = 2 where position = 3;"
        "update outlive.audit set position = 3 where position = 99",
        Flaw.UNLINKED,
        2,
    ),
    "inserted at the end": (
        "insert into outlive.audit select tenant, stream, 6, gen_random_uuid(), at, actor, action, subject, details,"
        " hash, hash, actor_salt, actor_seal, content_salt, content_seal from outlive.audit where position = 5;"
        "update outlive.audit as a set hash = outlive.audit_hash(a) where position = 6",
        Flaw.INSERTED,
        6,
    ),
    "inserted between": (
        "alter table outlive.audit drop constraint audit_pkey;"
        "insert into outlive.audit select tenant, stream, 3, gen_random_uuid(), at, actor, action, subject, details,"
        " previous, hash, actor_salt, actor_seal, content_salt, content_seal from outlive.audit where position = 3",
        Flaw.ALTERED,
        3,
    ),
    "exchanged for an erased one without seals": (
        "alter table outlive.audit alter actor_seal drop not null, alter content_seal drop not null;"
        "update outlive.audit set actor = 'x', actor_salt = null, actor_seal = null, subject = '', details = 'null',"
        " content_salt = null, content_seal = null, erased_at = at where position = 3",
        Flaw.ALTERED,
        3,
    ),
    "head set back": ("update outlive.audit_heads set position = 4", Flaw.REPLACED, 4),
    "head exchanged": ("update outlive.audit_heads set hash = sha256('x')", Flaw.REPLACED, 5),
    "head removed": ("delete from outlive.audit_heads", Flaw.INSERTED, 1),
}
REPAIRS = {
    "inserted between": "alter table outlive.audit add primary key (tenant, stream, position)",
    "exchanged for an erased one without seals": (
        "alter table outlive.audit alter actor_seal set not null, alter content_seal set not null"
    ),
}
"""What puts the table right for the next one, once it is empty."""


@pytest.mark.parametrize("name", DEFECTS)
async def test_each_defect_is_found_at_its_row(name: str, state: AgentState, tampering: asyncpg.Connection) -> None:
    """The verification names the first bad row."""
    await _five(state)
    sql, flaw, position = DEFECTS[name]
    transaction = tampering.transaction()
    assert (await state.audit.verify()).defects == ()
    await transaction.start()
    await tampering.execute(sql)
    await transaction.commit()
    try:
        found = _found(await state.audit.verify())
        assert (flaw, position) in found or (name == "inserted between" and found[0][1] == position)
    finally:
        await tampering.execute(f"truncate outlive.audit; {REPAIRS.get(name, '')}")


async def test_only_a_noted_head_finds_a_tail_that_was_cut_with_its_head(
    state: AgentState, tampering: asyncpg.Connection
) -> None:
    """What nothing in the database can tell, a head that was kept elsewhere does."""
    await _five(state)
    noted = await state.audit.heads()
    await tampering.execute("delete from outlive.audit where position > 3")
    await tampering.execute(
        "update outlive.audit_heads as h set position = 3, hash = a.hash from outlive.audit as a where a.position = 3"
    )
    assert (await state.audit.verify()).defects == ()
    assert _found(await state.audit.verify(noted)) == [(Flaw.CUT, 4)]
    await tampering.execute("truncate outlive.audit, outlive.audit_heads")
    assert _found(await state.audit.verify(noted)) == [(Flaw.CUT, 1)]


def _outlive(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "outlive.cli.main", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)


async def test_the_command_names_the_first_bad_row(
    state: AgentState, tampering: asyncpg.Connection, database: str, tmp_path: Path
) -> None:
    """It ends with 0 for a whole log and with 1 for a bad one; heads that were noted in a file are compared."""
    await _five(state)
    whole = await asyncio.to_thread(_outlive, "state", "audit", "verify", "--dsn", database)
    assert (whole.returncode, whole.stdout) == (0, "5 entries in 1 stream are whole.\n"), whole.stderr
    heads = await asyncio.to_thread(_outlive, "state", "audit", "heads", "--dsn", database)
    (tmp_path / "heads.json").write_text(heads.stdout)
    await tampering.execute("update outlive.audit set actor = 'somebody else' where position = 3")
    bad = await asyncio.to_thread(_outlive, "state", "audit", "verify", "--dsn", database, "--json")
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["defects"][0] | {"reason": ""} == {
        "flaw": "altered", "tenant": "", "stream": "main", "position": 3, "reason": "",
    }  # fmt: skip
    await tampering.execute("truncate outlive.audit, outlive.audit_heads")
    noted = ("--heads", str(tmp_path / "heads.json"))
    lost = await asyncio.to_thread(_outlive, "state", "audit", "verify", "--dsn", database, *noted)
    assert lost.returncode == 1
    assert "row 1 of the stream main is cut" in lost.stdout

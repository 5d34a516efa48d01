"""Conversations and sessions under load while the primary's node, or a worker, is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

import outlive
from conformance.openai_session import texts
from integration.client.waiting import until
from integration.conftest import RunningCluster
from integration.conversation_process import CONVERSATIONS, STEPS, Line, read
from outlive.adapters.openai_agents import OutliveSession
from outlive.stores import AgentState, migrate

PROGRAM = Path(__file__).with_name("conversation_process.py")
TESTS = str(PROGRAM.parents[1])


def anomalies(lines: Iterable[Line]) -> Iterator[str]:
    """What contradicts the promises: a tool that runs after its result was acknowledged, a step that is kept twice."""
    finished: set[tuple[str, int]] = set()
    kept: set[tuple[str, int]] = set()
    for line in sorted(lines):
        place = (line.conversation, line.step)
        if line.what == "ran" and place in finished:
            yield f"{place}: its tool ran again"
        if line.what == "kept" and place in kept:
            yield f"{place}: was kept twice"
        if line.what == "finished":
            finished.add(place)
        elif line.what == "kept":
            kept.add(place)


@pytest.mark.parametrize(
    ("told", "sound"),
    [
        ("ran, finished, kept", True),
        ("ran, ran, finished, kept", True),
        ("ran, finished, finished, kept", True),
        ("ran, finished, ran", False),
        ("ran, finished, kept, kept", False),
    ],
)
def test_the_checker_sees_what_was_done_twice(told: str, sound: bool) -> None:
    """A tool that is run again before its end was known is no anomaly, one that is run after it is."""
    lines = [Line(place, what, "c", 1) for place, what in enumerate(told.split(", "))]  # type: ignore[arg-type]
    assert (not list(anomalies(lines))) == sound


@contextmanager
def processes(
    dsn: str, run: str, ledgers: list[Path], kind: str, lease_s: float = 60.0
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A process for each ledger; killed at the end. Others may be added to the list."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        running.extend(spawned(dsn, run, ledger, kind, lease_s) for ledger in ledgers)
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


def spawned(dsn: str, run: str, ledger: Path, kind: str, lease_s: float = 60.0) -> subprocess.Popen[bytes]:
    """A process that lives conversations, or a session."""
    ledger.touch()
    environment = {**os.environ, "PYTHONPATH": TESTS}
    return subprocess.Popen([sys.executable, PROGRAM, dsn, run, ledger, kind, str(lease_s)], env=environment)


def kept(ledgers: Iterable[Path]) -> int:
    """How many steps were acknowledged as kept."""
    return sum(line.what == "kept" for ledger in ledgers for line in read(ledger))


@pytest.mark.parametrize("fault", ["kill node", "kill worker"])
async def test_conversations_go_on_whatever_is_killed(
    whole_cluster: RunningCluster, tmp_path: Path, fault: str
) -> None:
    """Every turn is there once, in order; no tool whose result was acknowledged ran again; no worker needed help."""
    run = f"killed-{uuid4()}"
    ledgers = [tmp_path / f"ledger-{number}" for number in range(2)]
    names = [f"{run}/{number}" for number in range(CONVERSATIONS)]
    async with outlive.connect(whole_cluster.dsn) as db:
        await migrate(db)
        conversations = AgentState(db).conversations
        await conversations.create(names)
        # Longer than any failover takes; where a worker dies, its conversations are taken over when it is over.
        lease_s = 60.0 if fault == "kill node" else 2.0
        with processes(whole_cluster.dsn, run, ledgers, "raw", lease_s) as running:
            await until(lambda: kept(ledgers) > 40, 120)
            if fault == "kill node":
                whole_cluster.local.kill_node(await whole_cluster.local.primary())
            else:
                running[0].kill()

            async def all_complete() -> bool:
                return await conversations.count_open(names) == 0

            await until(all_complete, 240)
            survivors = running if fault == "kill node" else running[1:]
            await until(lambda: all(process.poll() is not None for process in survivors))
            assert {process.returncode for process in survivors} == {0}
        for name in names:
            picture = await conversations.load(name)
            assert [(turn.position, turn.content) for turn in picture.turns] == [(n, n) for n in range(STEPS)]
            assert {call.result for call in picture.tool_calls} == set(range(STEPS))
    lines = [line for ledger in ledgers for line in read(ledger)]
    assert {(line.conversation, line.step) for line in lines if line.what == "kept"} <= {
        (name, step) for name in names for step in range(STEPS)
    }
    assert list(anomalies(lines)) == []


async def nobody_writes(db: outlive.Cluster) -> bool:
    """Whether no other session of the database is at work."""
    sql = """SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
             AND backend_type = 'client backend' AND state <> 'idle'"""
    return bool(await db.fetchval(sql, read="strong"))


@pytest.mark.parametrize("fault", ["kill node", "kill worker"])
async def test_a_session_goes_on_whatever_is_killed(whole_cluster: RunningCluster, tmp_path: Path, fault: str) -> None:
    """Every item of an OpenAI Agents session is there once, in order; a program started anew goes on after the last."""
    run = f"killed-{uuid4()}"
    ledgers = [tmp_path / "first", tmp_path / "second"]
    async with outlive.connect(whole_cluster.dsn) as db:
        await migrate(db)
        with processes(whole_cluster.dsn, run, ledgers[:1], "session") as running:
            await until(lambda: kept(ledgers[:1]) > 20, 120)
            if fault == "kill node":
                whole_cluster.local.kill_node(await whole_cluster.local.primary())
            else:
                running[0].kill()
                running[0].wait()
                # What it had sent may be committing still, and the next program would not count it.
                await until(lambda: nobody_writes(db))
                running.append(spawned(whole_cluster.dsn, run, ledgers[1], "session"))
            await until(lambda: running[-1].poll() is not None, 240)
            assert running[-1].returncode == 0
        stored = texts(await OutliveSession(db, run).get_items())
    assert stored == [str(step) for step in range(STEPS * CONVERSATIONS)]
    lines = [line for ledger in ledgers if ledger.exists() for line in read(ledger)]
    assert list(anomalies(lines)) == []
    assert {str(line.step) for line in lines if line.what == "kept"} <= set(stored)

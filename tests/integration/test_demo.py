"""The demo proves what it says: green when the promises hold, red for every defect, and it cleans up."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import outlive
from integration.client.waiting import until
from integration.conftest import RunningCluster
from outlive.demo.coordinator import Demo
from outlive.demo.environment import Fault, GivenDatabase
from outlive.demo.options import Options
from outlive.demo.planting import Defect
from outlive.demo.progress import Progress
from outlive.demo.report import Report
from outlive.demo.transcripts import read_transcripts

LIMIT_S = 300.0
COMMAND = [str(Path(sys.executable).with_name("outlive")), "demo"]
QUICK = Options(agents=8, workers=2, fault=Fault.NONE, llm_latency_s=0.01, repeat=1, lease_s=1.0)


class Silent:
    """A narrator that only remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def show(self, _progress: Progress) -> None:
        pass


async def play(options: Options, cluster: RunningCluster, directory: Path) -> Report:
    """The demo on the tests' cluster, without hurting it."""
    demo = Demo(options, read_transcripts(None), GivenDatabase(cluster.dsn), directory, Silent())
    return await demo.run()


async def test_a_killed_worker_s_conversations_are_taken_over(cluster: RunningCluster, tmp_path: Path) -> None:
    """A worker is killed, another goes on; all is complete, nothing is lost, its answers in flight are told apart."""
    # So long that the coordinator, which looks every now and then, finds the last third of the work still to be done.
    report = await play(replace(QUICK, repeat=3, llm_latency_s=0.05), cluster, tmp_path)
    assert report.worker_killed == "worker-1"
    assert report.verdict.anomalies == ()
    assert report.ok
    assert report.verdict.acknowledged == 3 * sum(len(script.messages) for script in read_transcripts(None))
    assert report.verdict.llm_cost_usd > report.verdict.llm_cost_lost_usd


@pytest.mark.parametrize(
    ("defect", "figures"),
    [
        (Defect.DROP, {"lost": 1}),
        (Defect.DOUBLE, {"duplicated": 1}),
        (Defect.SWAP, {}),
        (Defect.ALTER, {}),
        (Defect.RERUN, {"tool_calls_repeated": 6}),
    ],
)
async def test_a_planted_defect_turns_it_red(
    cluster: RunningCluster, tmp_path: Path, defect: Defect, figures: dict[str, int]
) -> None:
    """One turn dropped, doubled, swapped or altered, or a conversation's tools run again, among hundreds: found."""
    report = await play(replace(QUICK, plant=defect), cluster, tmp_path)
    assert not report.ok
    found = report.to_json()
    assert {name: found[name] for name in ("lost", "duplicated", "tool_calls_repeated")} == {
        "lost": 0,
        "duplicated": 0,
        "tool_calls_repeated": 0,
        **figures,
    }


def test_nothing_is_lost_when_the_primary_s_node_is_killed(whole_cluster: RunningCluster, tmp_path: Path) -> None:
    """The main job as a person runs it: exit 0, and the figures in a file."""
    figures = tmp_path / "out.json"
    arguments = ["--dir", str(whole_cluster.directory), "--repeat", "3", "--json", str(figures)]
    began = time.monotonic()
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=LIMIT_S)
    took_s = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert "Killed Patroni and PostgreSQL of the primary" in done.stderr
    assert "Killed worker-1 with SIGKILL" in done.stderr
    assert "Every promise held" in done.stdout
    result = json.loads(figures.read_text())
    assert result["ok"] is True
    assert result["conversations"] == result["conversations_complete"] == 36
    assert (result["lost"], result["duplicated"], result["tool_calls_repeated"]) == (0, 0, 0)
    assert 0 < result["write_outage_s"] < took_s


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory with a short name: a socket's path has 107 bytes at most, and pytest's have the account's name."""
    with tempfile.TemporaryDirectory(prefix="outlive-test-") as made:
        yield Path(made)


def test_a_conversation_that_was_deleted_by_mistake_comes_back(short_path: Path) -> None:
    """On a cluster of its own: the backup of before brings back, through the failover, all that was acknowledged."""
    figures = short_path / "out.json"
    arguments = ["--repeat", "3", "--llm-latency", "0.04", "--json", str(figures)]
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * LIMIT_S,
        env=scratch_env(short_path),
    )
    assert done.returncode == 0, done.stderr
    assert "by mistake" in done.stderr
    result = json.loads(figures.read_text())
    assert result["verified"] is True
    assert result["restore_s"] > 0
    assert result["store_behind_s"] >= 0
    assert left_in(short_path) == ["out.json"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_demo_leaves_nothing_behind(
    cluster: RunningCluster, tmp_path: Path, ending: signal.Signals
) -> None:
    """Ctrl-C or a polite kill: exit 130, no worker, no scratch file, no schema of its own."""
    async with outlive.connect(cluster.dsn) as db:
        before = await schemas(db)
    demo = await started(cluster, tmp_path)
    workers = demo.children()
    demo.send_signal(ending)
    said = await asyncio.to_thread(last_words, demo)
    assert demo.returncode == 130
    assert said.splitlines()[-1] == "outlive: interrupted"
    assert "Traceback" not in said
    assert "never retrieved" not in said
    assert not any(alive(worker) for worker in workers)
    assert left_in(tmp_path) == []
    async with outlive.connect(cluster.dsn) as db:
        assert await schemas(db) == before


async def test_what_a_killed_demo_left_goes_with_the_next(cluster: RunningCluster, tmp_path: Path) -> None:
    """Its cluster is stopped, its directories are removed, and the next one says so."""
    killed = psutil.Popen([*COMMAND], stderr=subprocess.PIPE, text=True, env=scratch_env(tmp_path))
    try:
        await until(lambda: len(supervisors(tmp_path)) == 3, limit_s=120)
    finally:
        killed.kill()
    await asyncio.to_thread(last_words, killed)
    left, running = left_in(tmp_path), supervisors(tmp_path)
    assert all(alive(process) for process in running)
    arguments = ["--dsn", cluster.dsn, "--repeat", "1", "--llm-latency", "0.01"]
    following = psutil.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True, env=scratch_env(tmp_path))
    said = (await asyncio.to_thread(following.communicate, timeout=240))[1]
    assert following.returncode == 0, said
    assert len(left) == 2
    assert all(f"Removing what a killed demo left in {tmp_path / name}." in said for name in left)
    assert not any(alive(process) for process in running)
    assert left_in(tmp_path) == []


def supervisors(directory: Path) -> list[psutil.Process]:
    """Those of the cluster of a demo whose temporary files lie in `directory`."""
    pids = [path.read_text() for path in directory.glob("outlive-demo-*/cluster/*/supervisor.lock")]
    return [psutil.Process(int(pid)) for pid in pids if pid]


async def test_workers_end_with_a_killed_coordinator(cluster: RunningCluster, tmp_path: Path) -> None:
    """A SIGKILL lets nobody clean up, so the workers watch for it themselves."""
    demo = await started(cluster, tmp_path)
    workers = demo.children()
    demo.kill()
    await asyncio.to_thread(last_words, demo)
    await until(lambda: not any(alive(worker) for worker in workers), LIMIT_S)
    async with outlive.connect(cluster.dsn) as db:
        for schema in await schemas(db):
            await db.execute(f"DROP SCHEMA {schema} CASCADE")


async def test_a_worker_that_fails_ends_the_demo_with_its_words(cluster: RunningCluster, tmp_path: Path) -> None:
    """A broken worker is a clear error, not a long wait."""
    (tmp_path / "worker-2.jsonl").mkdir()
    with pytest.raises(outlive.OutliveError, match=r"worker-2 ended by itself: .*worker-2\.jsonl"):
        await play(QUICK, cluster, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--transcripts", "nowhere.jsonl"], "nowhere.jsonl can't be read: No such file or directory"),
        (["--agents", "0"], "--agents must lie between"),
        (["--json", "nowhere/out.json"], "nowhere/out.json can't be written"),
        (["--dsn", "postgresql://localhost/x", "--fault", "node"], "can't be injected into a database given by --dsn"),
        (["--dsn", "nonsense"], "DSN"),
        (["--fault", "earthquake"], "earthquake"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """Exit 2, no traceback, nothing started."""
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=LIMIT_S, env=scratch_env(tmp_path)
    )
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert left_in(tmp_path) == []


def test_a_worker_without_orders_says_who_gives_them() -> None:
    """Nobody starts a worker by hand, and who does is told."""
    command = [sys.executable, "-m", "outlive.demo.worker"]
    done = subprocess.run(command, input="{}\n", capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 1
    assert "a worker takes its orders from the demo" in done.stderr
    assert "Traceback" not in done.stderr


async def schemas(db: outlive.Cluster) -> set[str]:
    """The schemas of demos that are in the database."""
    named = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'outlive_demo_%'"
    return {row["nspname"] for row in await db.fetch(named, read="strong")}


async def started(cluster: RunningCluster, scratch: Path) -> psutil.Popen:
    """A demo with slow agents, both workers alive."""
    arguments = ["--dsn", cluster.dsn, "--llm-latency", "5"]
    demo = psutil.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True, env=scratch_env(scratch))
    await until(lambda: any(scratch.glob("outlive-demo-ledger-*/worker-2.jsonl")) or demo.poll() is not None, LIMIT_S)
    assert demo.poll() is None, last_words(demo)
    return demo


def last_words(demo: psutil.Popen) -> str:
    """What it says on stderr until it ends."""
    said: str = demo.communicate(timeout=LIMIT_S)[1]
    return said


def left_in(directory: Path) -> list[str]:
    """The names of what is left in a directory."""
    return [path.name for path in directory.iterdir()]


def scratch_env(directory: Path) -> dict[str, Any]:
    """An environment whose temporary files lie in `directory`."""
    return {**os.environ, "TMPDIR": str(directory)}


def alive(process: psutil.Process) -> bool:
    """Whether it runs; one that ended and was not reaped by its new parent does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

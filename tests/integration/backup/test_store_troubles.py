"""A store that misbehaves while WAL is written: refuses, is slow, breaks off. Nothing is lost, and it is told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.backup.archiving import Archiving
from integration.backup.store_proxy import At, Cut, Delay, Refuse, StoreProxy
from integration.client.waiting import until
from outlive.backup.archiver_files import ArchiverState, read_state
from outlive.backup.plan.archived import segment_key
from outlive.backup.plan.gaps import find
from outlive.cluster.archiving import ArchiveWish
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, WalSegment
from outlive.testing import LocalCluster
from outlive.testing.object_store import SeaweedFS

LIMIT_S = 180.0
NO_BUCKET = Refuse(404, "NoSuchBucket")


def is_put(method: str, _path: str) -> bool:
    """A request that writes an object."""
    return method == "PUT"


async def work(proxied: Archiving, segments: int = 3) -> list[str]:
    """Write WAL, and finish that many segments of it; their names."""
    names = []
    for _ in range(segments):
        await proxied.servers.sql("n1", "select pg_logical_emit_message(true, 'test', repeat('x', 300000))")
        names.append(await proxied.switch())
    return names


async def caught_up(proxied: Archiving, names: list[str]) -> None:
    """Wait until all that was written is in the store, and the archiver says that all is well."""
    for name in names:
        await proxied.wait_for(name, LIMIT_S)
    await until(lambda: proxied.state().failing_since is None and proxied.state().stream_error is None, LIMIT_S)
    archived, deposit = await proxied.archived(), proxied.deposit()
    assert find(archived, {}, DEFAULT_SEGMENT_BYTES).whole
    for name in names:
        file = proxied.servers.root / "n1" / "pg_wal" / name
        stored = await deposit.read(segment_key(WalSegment.parse(name)))
        assert not file.exists() or file.read_bytes() == stored


def told(proxied: Archiving) -> list[str]:
    """The events that the archiver has told, in order."""
    whole_lines = proxied.log().rpartition("\n")[0].splitlines()
    return [json.loads(line)["event"] for line in whole_lines if line.startswith("{")]


@pytest.mark.parametrize(
    ("refusal", "word"),
    [
        (Refuse(503, "SlowDown"), "SlowDown"),
        (Refuse(403, "ExpiredToken"), "ExpiredToken"),
        (NO_BUCKET, "no such bucket"),
    ],
    ids=["answers 503", "refuses the credentials", "has no such bucket"],
)
async def test_a_store_that_refuses_for_a_while(
    proxied: Archiving, proxy: StoreProxy, refusal: Refuse, word: str
) -> None:
    """Nothing is acknowledged meanwhile, the state and an event say why, and all arrives once it is mended."""
    await caught_up(proxied, await work(proxied, 1))
    before = len(told(proxied))
    proxy.do(refusal)
    names = await work(proxied)
    await until(lambda: proxied.state().failing_since is not None and proxied.state().backlog >= 3, LIMIT_S)
    # The last error may be that of a request which took too long.
    await until(lambda: word in (proxied.state().last_error or ""), LIMIT_S)
    await until(lambda: word in (proxied.state().stream_error or ""), LIMIT_S)
    state = proxied.state()
    assert state.last_archived not in names
    assert not state.refused
    proxy.heal()
    await caught_up(proxied, names)
    events = told(proxied)[before:]
    assert {"archiving-failed", "streaming-failed", "archiving-works", "streaming-works"} <= set(events)


async def test_a_store_that_is_slow(proxied: Archiving, proxy: StoreProxy) -> None:
    """Every answer half a second late delays the archive by little more, as puts don't wait for each other."""
    await caught_up(proxied, await work(proxied, 1))
    before = len(told(proxied))
    proxy.do(Delay(0.5))
    names = await work(proxied)
    for name in names:
        await proxied.wait_for(name, LIMIT_S)
    assert proxied.state().failing_since is None
    assert proxy.hurt > 0
    proxy.heal()
    await caught_up(proxied, names)
    assert not {"archiving-failed", "streaming-failed"} & set(told(proxied)[before:])


@pytest.mark.parametrize("at", [At.WITHIN, At.STORED])
async def test_puts_that_break_off(proxied: Archiving, proxy: StoreProxy, at: At) -> None:
    """In the middle of a body the object isn't there, behind it it is: both are tried again, and end well."""
    await caught_up(proxied, await work(proxied, 1))
    before = len(told(proxied))
    proxy.do(Cut(at), is_put)
    names = await work(proxied)
    # Its state may say so for a moment only: what is stored is found there at the next try.
    await until(lambda: "archiving-failed" in told(proxied)[before:] and proxy.hurt >= 4, LIMIT_S)
    proxy.heal()
    await caught_up(proxied, names)


@pytest.fixture
def local(s3: SeaweedFS, impatient: Path) -> Iterator[LocalCluster]:
    """A cluster of one node that archives through the proxy."""
    with tempfile.TemporaryDirectory(prefix="outlive-troubles-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        wish = ArchiveWish(url=s3.url("outlive", Path(scratch).name), options_file=impatient)
        local = LocalCluster(Path(scratch) / "cluster", nodes=1, archive=wish)
        try:
            yield local
        finally:
            asyncio.run(local.stop())


async def test_wal_status_while_the_store_refuses(local: LocalCluster, proxy: StoreProxy) -> None:
    """With the store away, what each archiver says is still shown, with the reason, and the exit code is 9."""
    await local.start()
    await until(lambda: _state_holds(local, lambda state: state.proved_at is not None), LIMIT_S)
    proxy.do(Refuse(503, "SlowDown"))
    await until(lambda: _state_holds(local, lambda state: state.stream_error is not None), LIMIT_S)
    code, said = await _status(local)
    proxy.heal()
    assert code == 9
    assert any("the store can't be read" in problem for problem in said["problems"])
    assert any("streaming fails" in problem for problem in said["problems"])
    assert said["archivers"]["n1"]["role"] == "primary"
    await until(lambda: _nothing_fails(local), LIMIT_S)


def _state_holds(local: LocalCluster, condition: Callable[[ArchiverState], bool]) -> bool:
    """Whether the archiver has said something, and that: it may be up later than the cluster."""
    state = read_state(local.directory.node("n1").archiver_state)
    return state is not None and condition(state)


async def _nothing_fails(local: LocalCluster) -> bool:
    return not [problem for problem in (await _status(local))[1]["problems"] if "fails" in problem]


async def _status(local: LocalCluster) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "outlive.cli.main", "wal", "status", "--json", "--dir", str(local.directory.root)]
    done = await asyncio.to_thread(
        subprocess.run, command, check=False, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)

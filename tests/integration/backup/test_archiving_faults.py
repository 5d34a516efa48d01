"""The store fails while WAL is produced: nothing is acknowledged, nothing is lost, and it is told."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.backup.archiving import Archiving
from integration.client.servers import Servers
from integration.client.waiting import until
from outlive.backup.plan.archived import segment_key
from outlive.backup.plan.gaps import find
from outlive.model.wal import DEFAULT_SEGMENT_BYTES, WalSegment
from outlive.object_storage.opening import open_store
from outlive.testing.object_store import SeaweedFS

LIMIT_S = 90.0
KEY = "a2V5IG9mIHRoZSB0ZXN0cywgb2YgMzIgYnl0ZXMgbG8="


@pytest.fixture(scope="module")
def weed() -> Iterator[SeaweedFS]:
    """A real S3 server."""
    scratch = tempfile.TemporaryDirectory(prefix="outlive-weed-", ignore_cleanup_errors=True)
    with scratch as directory, SeaweedFS(Path(directory)) as weed:
        yield weed


@pytest.fixture(scope="module")
def remote(source: Servers, weed: SeaweedFS) -> Iterator[Archiving]:
    """A server that archives to it, encrypted; put as impatient as a test has to be."""
    options = weed.directory / "hasty.json"
    options.write_text(json.dumps(json.loads(weed.options_file().read_text()) | {"timeout_s": 3.0, "retries": 1}))
    asyncio.run(open_store(weed.url("archive"), weed.options()).put("makes-the-bucket", b"x"))
    key = weed.directory / "test.key"
    key.write_text(KEY)
    remote = Archiving(source, weed.url("archive", "prod"), options, key)
    remote.start()
    try:
        asyncio.run(remote.configure())
        yield remote
    finally:
        remote.stop()


async def test_segments_are_stored_encrypted(remote: Archiving) -> None:
    """With a key, what was written is nowhere in the stored bytes, and is there when they are read with the key."""
    await remote.servers.sql("n1", "select pg_logical_emit_message(false, 'test', 'a-secret-of-the-agent')")
    name = await remote.switch()
    await remote.wait_for(name)
    deposit, key = remote.deposit(), segment_key(WalSegment.parse(name))
    assert b"a-secret-of-the-agent" in await deposit.read(key)
    assert b"a-secret-of-the-agent" not in await deposit.store.get(key)


async def test_a_store_that_is_down_and_comes_back(remote: Archiving, weed: SeaweedFS) -> None:
    """While it is killed nothing is acknowledged and the state says so; afterwards all arrives, without a gap."""
    await remote.wait_for(await remote.switch())
    weed.kill()
    names = [await remote.switch() for _ in range(4)]
    await until(lambda: remote.is_failing() and remote.state().backlog >= 4, LIMIT_S)
    assert remote.state().last_archived not in names
    ready = remote.servers.root / "n1" / "pg_wal" / "archive_status"
    assert {f"{name}.ready" for name in names} <= {path.name for path in ready.iterdir()}
    weed.start()
    for name in names:
        await remote.wait_for(name, LIMIT_S)
    await until(lambda: remote.state().failing_since is None and remote.state().stream_error is None, LIMIT_S)
    assert find(await remote.archived(), {}, DEFAULT_SEGMENT_BYTES).whole
    told = [json.loads(line)["event"] for line in remote.log().splitlines() if line.startswith("{")]
    assert {"archiving-failed", "archiving-works"} <= set(told)


async def test_a_store_that_hangs(remote: Archiving, weed: SeaweedFS) -> None:
    """What it doesn't answer for is not acknowledged; it is caught up with later, by the archiver's successor too."""
    await remote.wait_for(await remote.switch())
    thaw = weed.freeze()
    name = await remote.switch()
    await until(remote.is_failing, LIMIT_S)
    assert (remote.servers.root / "n1" / "pg_wal" / "archive_status" / f"{name}.ready").exists()
    remote.kill()
    remote.start()
    thaw()
    await remote.wait_for(name, LIMIT_S)


async def test_credentials_that_are_refused(remote: Archiving) -> None:
    """Refused credentials are told as such, acknowledge nothing, and are mended by the right ones."""
    assert remote.options_file is not None
    right = remote.options_file.read_text()
    remote.options_file.write_text(json.dumps(json.loads(right) | {"secret_access_key": "another-secret"}))
    remote.kill()
    remote.start()
    name = await remote.switch()
    await until(remote.is_failing, LIMIT_S)
    assert "another-secret" not in remote.log() + (remote.state().last_error or "")
    remote.options_file.write_text(right)
    remote.kill()
    remote.start()
    await remote.wait_for(name, LIMIT_S)

"""WAL archiving: segments a second beside pgBackRest and Barman, and how late the store is while WAL is written.

    .venv/bin/python bench/wal.py [--segments 24] [--seconds 15]

One server of PostgreSQL 15 (Debian's pgBackRest knows no newer one) makes the segments; then each contestant's
archive command is run on each of them, one after the other, as PostgreSQL does. Ours and Barman's go to one S3 server,
encrypted where it says so; pgBackRest's to a local directory, as it speaks S3 by TLS alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from integration.backup.pgbackrest_stanza import STANZA, Stanza
from outlive.backup import archive_client
from outlive.backup.archiver_files import ArchiverConfig
from outlive.backup.archiver_log import ArchiverLog
from outlive.backup.deposit import Deposit
from outlive.backup.plan.cadence import OBJECTIVE_S
from outlive.backup.pushing import Pusher
from outlive.backup.streaming import Streamer
from outlive.backup.wal_files import WalFiles
from outlive.model.lsn import Lsn
from outlive.object_storage.opening import open_store
from outlive.postgres import identity
from outlive.testing.object_store import SeaweedFS

BARMAN = Path.home() / ".cache" / "outlive-bench" / "barman" / "bin" / "barman-cloud-wal-archive"
BARMAN_SEGMENTS = 6
NO_PASSWORD = ""
KEY = "a2V5IG9mIHRoZSB0ZXN0cywgb2YgMzIgYnl0ZXMgbG8="
START_LIMIT_S = 20.0
ROWS = "insert into turns select n, repeat(md5(random()::text), 30) from generate_series(1, {count}) n"


@dataclass(frozen=True)
class Bench:
    """The server with finished segments, and the S3 server."""

    stanza: Stanza
    s3: SeaweedFS
    names: list[str]

    def run_each(self, line: Callable[[str], list[str]], count: int, surroundings: Mapping[str, str]) -> float:
        """Segments a second of a command that is run for each."""
        began = time.monotonic()
        for name in self.names[:count]:
            command, options = identity.command(self.stanza.run_as, line(name))
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, cwd=self.stanza.root / "data", timeout=120,
                env={**os.environ, **surroundings}, **options,
            )  # fmt: skip
            self._mark(name, ".ready", ".done")
        seconds = time.monotonic() - began
        for name in self.names[:count]:
            self._mark(name, ".done", ".ready")
        return count / seconds

    def _mark(self, name: str, old: str, new: str) -> None:
        """As PostgreSQL does once a segment is archived; what is ahead of it is told from these marks."""
        folder = self.stanza.root / "data" / "pg_wal" / "archive_status"
        (folder / f"{name}{old}").rename(folder / f"{name}{new}")

    def ours(self, prefix: str, *, encrypted: bool) -> tuple[float, int]:
        """Segments a second, and the archiver's largest memory in bytes."""
        with self._archiver(prefix, encrypted=encrypted) as (socket, process):
            client = [sys.executable, "-ISs", archive_client.__file__, socket]
            rate = self.run_each(lambda name: [*client, name], len(self.names), {})
            status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return rate, int(peak.split()[1]) * 1024

    def pgbackrest(self) -> float:
        """Segments a second."""
        command = ["pgbackrest", f"--config={self.stanza.root}/pgbackrest.conf", f"--stanza={STANZA}", "archive-push"]
        return self.run_each(lambda name: [*command, f"pg_wal/{name}"], len(self.names), {})

    def barman(self) -> float:
        """Segments a second."""
        command = [str(BARMAN), "--cloud-provider", "aws-s3", "--endpoint-url", self.s3.endpoint, "s3://outlive/b", "x"]
        surroundings = {**self.s3.environment(), "AWS_DEFAULT_REGION": "us-east-1"}
        return self.run_each(lambda name: [*command, f"pg_wal/{name}"], BARMAN_SEGMENTS, surroundings)

    def config(self, prefix: str, *, encrypted: bool = False) -> ArchiverConfig:
        """Our archiver's configuration; `prefix` is its place in the bucket."""
        home = self.stanza.root / prefix
        return ArchiverConfig(
            node="n1", data=str(self.stanza.root / "data"), socket=f"outlive-bench-{os.getpid()}-{prefix}",
            state=str(home / "state.json"), url=self.s3.url("outlive", prefix), port=self.stanza.port, user="postgres",
            password=NO_PASSWORD, options_file=str(home / "options.json"),
            key_file=str(home / "key") if encrypted else None,
        )  # fmt: skip

    def prepare(self, prefix: str) -> Path:
        """The directory of an archiver, with the files that it reads."""
        home = self.stanza.root / prefix
        home.mkdir(exist_ok=True)
        (home / "options.json").write_bytes(self.s3.options_file().read_bytes())
        (home / "key").write_text(KEY)
        identity.own(self.stanza.run_as, [home, home / "options.json", home / "key"])
        return home

    @contextlib.contextmanager
    def _archiver(self, prefix: str, *, encrypted: bool) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
        home, config = self.prepare(prefix), self.config(prefix, encrypted=encrypted)
        (home / "config.json").write_bytes(msgspec.json.encode(config))
        identity.own(self.stanza.run_as, [home / "config.json"])
        command, options = identity.command(
            self.stanza.run_as, [sys.executable, "-m", "outlive.backup.archiver", str(home / "config.json")]
        )
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **options)
        try:
            until = time.monotonic() + START_LIMIT_S
            while config.socket not in Path("/proc/net/unix").read_text() and time.monotonic() < until:
                time.sleep(0.005)
            yield config.socket, process
        finally:
            process.terminate()
            process.wait(30)

    async def lag(self, prefix: str, seconds: float, *, busy: bool) -> tuple[float, float]:
        """The median and 99th percentile of the seconds from a commit until the store proves that it holds it."""
        self.prepare(prefix)
        config, proved = self.config(prefix), list[tuple[float, float]]()
        deposit = Deposit(open_store(config.url, self.s3.options()))
        log = Noting(config.node, Path(config.state), proved)
        commits, end = list[float](), time.time() + seconds
        session = await asyncpg.connect(host="127.0.0.1", port=self.stanza.port, user="postgres", ssl=False)
        async with asyncio.TaskGroup() as tasks:
            pusher = Pusher(WalFiles(Path(config.data)), deposit, tasks, log, workers=4, check_system=_anybody)
            pusher.leaves_to_primary = False
            following = tasks.create_task(
                Streamer(config, WalFiles(Path(config.data)), deposit, pusher, log, tasks).run()
            )
            while time.time() < end:
                await session.execute(ROWS.format(count=200 if busy else 1))
                commits.append(time.time())
                await asyncio.sleep(0 if busy else 1.7)
            await asyncio.sleep(OBJECTIVE_S)  # until the last commit is proved too
            following.cancel()
        await session.close()
        return _lags(commits, proved)


class Noting(ArchiverLog):
    """Notes when which moment was proved."""

    def __init__(self, node: str, path: Path, proved: list[tuple[float, float]]) -> None:
        super().__init__(node, path, lambda _line: None)
        self._proved = proved

    def streamed(self, end: Lsn, proved_at: datetime | None) -> None:
        """A piece or a mark is durable."""
        super().streamed(end, proved_at)
        if proved_at is not None:
            self._proved.append((datetime.now(UTC).timestamp(), proved_at.timestamp()))


async def _anybody(_system_identifier: int) -> None:
    return None


def _lags(commits: list[float], proved: list[tuple[float, float]]) -> tuple[float, float]:
    """For each commit, until the first put whose moment lies behind it."""
    lags = sorted(min(put for put, moment in proved if moment >= commit) - commit for commit in commits)
    return lags[len(lags) // 2], lags[int(len(lags) * 0.99)]


def _make(stanza: Stanza, segments: int) -> list[str]:
    """Finish segments that nothing archives; their names."""
    stanza.sql("alter system set archive_command = 'false'")
    stanza.sql("select pg_reload_conf()")
    stanza.sql("create table turns (n int, content text)")
    files = WalFiles(stanza.root / "data")
    while len([name for name in files.ready() if len(name) == 24]) < segments:
        stanza.sql(ROWS.format(count=20_000))
    return [name for name in files.ready() if len(name) == 24][:segments]


def main() -> None:
    """Run it, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--segments", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=15.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ob", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        root = Path(scratch) / "s"
        root.mkdir()
        stanza = Stanza(root)
        with SeaweedFS(Path(scratch) / "s3") as s3:
            try:
                asyncio.run(open_store(s3.url("outlive"), s3.options()).put("makes-the-bucket", b"x"))
                stanza.start()
                _measure(Bench(stanza, s3, _make(stanza, given.segments)), given.seconds)
            finally:
                stanza.destroy()


def _measure(bench: Bench, seconds: float) -> None:
    plain, plain_bytes = bench.ours("plain", encrypted=False)
    sealed, sealed_bytes = bench.ours("sealed", encrypted=True)
    rows = {"ours": plain, "ours, encrypted": sealed, "pgBackRest archive-push": bench.pgbackrest()}
    if BARMAN.is_file():
        rows["barman-cloud-wal-archive"] = bench.barman()
    print("| archive command | segments a second | ours is faster by |\n|---|---|---|")
    for name, rate in rows.items():
        print(f"| {name} | {rate:.1f} | {plain / rate:.1f} |")
    print(f"\nLargest memory of the archiver: {plain_bytes / 1e6:.0f} MB, encrypted {sealed_bytes / 1e6:.0f} MB.")
    for name, busy in (("at full load", True), ("idle, a commit each 1.7 s", False)):
        median, high = asyncio.run(bench.lag("lag" + str(int(busy)), seconds, busy=busy))
        print(f"Streaming lag {name}: median {median:.2f} s, p99 {high:.2f} s.")
    print(json.dumps({"segments": len(bench.names), "seconds": seconds}))


if __name__ == "__main__":
    main()

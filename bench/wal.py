"""WAL archiving: segments a second beside pgBackRest and Barman, and how late the store is while WAL is written.

    .venv/bin/python bench/wal.py [--segments 24] [--seconds 15] [--docs]

One server of PostgreSQL 15 (Debian's pgBackRest knows no newer one) makes the segments; then each contestant's
archive command is run on each of them, one after the other, as PostgreSQL does. Ours and Barman's go to one S3 server,
encrypted where it says so; pgBackRest's to a local directory, as it speaks S3 by TLS alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

import wal_lag
from wal_lag import ROWS, Lag

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import barman_programs
from integration.backup.pgbackrest_stanza import STANZA, Stanza
from outlive.backup import archive_client
from outlive.backup.archiver_files import ArchiverConfig
from outlive.backup.wal_files import WalFiles
from outlive.object_storage.opening import open_store
from outlive.postgres import identity
from outlive.testing.object_store import SeaweedFS

BARMAN = barman_programs.program("wal-archive")
BARMAN_SEGMENTS = 6
NO_PASSWORD = ""
KEY = "a2V5IG9mIHRoZSB0ZXN0cywgb2YgMzIgYnl0ZXMgbG8="
START_LIMIT_S = 20.0
PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "backup-speed.md"
MARKS = re.compile(r"(<!-- wal: [^\n]*-->\n).*?(<!-- /wal -->)", re.DOTALL)


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

    def lag(self, prefix: str, seconds: float, *, busy: bool) -> Lag:
        """How late the store is, with PostgreSQL's archive command beside the streaming, as it always is."""
        self.prepare(prefix)
        config = self.config(prefix)
        client = shlex.join([sys.executable, "-ISs", archive_client.__file__, config.socket])
        self.stanza.sql(f"alter system set archive_command = '{client} %f'")
        self.stanza.sql("select pg_reload_conf()")
        postmaster = (self.stanza.root / "data" / "postmaster.pid").read_text().split()[0]
        pids = {"PostgreSQL": int(postmaster), "the S3 server": self.s3.pid or 0, "archiver and client": os.getpid()}
        store = open_store(config.url, self.s3.options())
        return asyncio.run(wal_lag.measure(config, store, seconds, busy=busy, pids=pids))


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
    """Run it, and print a table; with `--docs` put it into the page too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=24, help="how many each contestant archives (default 24)")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each lag is measured (default 15)")
    parser.add_argument("--docs", action="store_true", help="write the figures into the documentation")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ob", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        root = Path(scratch) / "s"
        root.mkdir()
        stanza = Stanza(root)
        with SeaweedFS(Path(scratch) / "s3") as s3:
            try:
                stanza.start()
                text = _measure(Bench(stanza, s3, _make(stanza, given.segments)), given)
            finally:
                stanza.destroy()
    print(text)
    if given.docs:
        PAGE.write_text(MARKS.sub(lambda marks: f"{marks[1]}{text}{marks[2]}", PAGE.read_text()))


def _measure(bench: Bench, given: argparse.Namespace) -> str:
    plain, plain_bytes = bench.ours("plain", encrypted=False)
    sealed, sealed_bytes = bench.ours("sealed", encrypted=True)
    rows = {"ours": plain, "ours, encrypted": sealed, "pgBackRest archive-push": bench.pgbackrest()}
    if BARMAN.is_file():
        rows["barman-cloud-wal-archive"] = bench.barman()
    lines = ["| archive command | segments a second | ours is faster by |", "|---|---|---|"]
    lines += [f"| {name} | {rate:.1f} | {plain / rate:.1f} |" for name, rate in rows.items()]
    lines += ["", f"Largest memory of the archiver: {plain_bytes / 1e6:.0f} MB, encrypted {sealed_bytes / 1e6:.0f} MB."]
    lags = {busy: bench.lag(f"lag{busy}", given.seconds, busy=busy) for busy in (True, False)}
    lines += _lag_lines(lags[True], lags[False])
    return "\n".join(
        [*lines, "", f'From `make bench-wal ARGS="--segments {given.segments} --seconds {given.seconds:g}"`.', ""]
    )


def _lag_lines(busy: Lag, idle: Lag) -> list[str]:
    each, put, size = (wal_lag.halves(values) for values in (busy.piece_s, busy.put_s, busy.piece_bytes))
    processors = ", ".join(f"{name} {count:.2f}" for name, count in busy.processors.items())
    return [
        "",
        "| from a commit until the store proves that it holds it | median | 99 % | to reach |",
        "|---|---|---|---|",
        f"| one session that writes all the time | {busy.part(0.5):.2f} s | {busy.part(0.99):.2f} s | 0.5 s |",
        f"| a commit each {wal_lag.IDLE_EACH_S} s | {idle.part(0.5):.2f} s | {idle.part(0.99):.2f} s | 1.5 s |",
        "",
        f"The session that writes all the time made {busy.wal_bytes_per_s / 1e6:.0f} MB of WAL a second. It went as",
        f"{len(busy.piece_s)} pieces, of {size[0] / 1e6:.1f} MB in the median, and once more as whole segments.",
        f"A piece was {each[0]:.3f} s on its way (99 %: {each[1]:.3f} s), of which the put took {put[0]:.3f} s",
        f"({put[1]:.3f} s); the rest of the lag is the wait for its turn.",
        f"Processors in use meanwhile, of {os.cpu_count()}: {processors}.",
    ]


if __name__ == "__main__":
    main()

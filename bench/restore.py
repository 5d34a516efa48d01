"""`make bench-restore`: from the bucket to a running, verified server, beside Barman's way to the same.

python bench/restore.py --megabytes 1024 --rounds 2 --json restore.json --docs

One server of agent state is backed up by both into one S3 server, and the WAL that is written after that is archived
by both. Then both restore it, in turn, to the end of the WAL, and start it. Ours is `outlive restore --latest --verify
--start`. Barman's way is barman-cloud-restore, recovery with barman-cloud-wal-restore, and then the same questions to
the server, by the same code: Barman has none. pg_verifybackup is in ours alone, as Barman keeps no manifest for it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import barman_programs
from backup import DOCS, KEY
from backup_ground import Ground, append, ground, rounds, timed
from outlive.backup.codec import Codec
from outlive.backup.deposit import Deposit
from outlive.backup.keys import load_keyring
from outlive.backup.plan import recovery_settings
from outlive.backup.plan.archived import file_key
from outlive.backup.plan.targets import Latest
from outlive.backup.proving.examination import Findings, examine
from outlive.backup.restoring.material import Tools
from outlive.backup.restoring.recovery import prepare
from outlive.backup.restoring.scratch import scratch_workspace
from outlive.backup.restoring.server import private_server
from outlive.backup.restoring.serving import serve
from outlive.cluster import ports
from outlive.model.lsn import Timeline
from outlive.model.wal import is_segment
from outlive.object_storage.opening import open_store
from outlive.postgres import identity, postmaster, programs
from outlive.postgres.access import environment

MARKS = re.compile(r"(<!-- restore: .*? -->\n).*?(<!-- /restore -->)", re.DOTALL)
OURS, BARMAN = "outlive restore --verify --start", "barman-cloud-restore, then the same checks"
NAME = "bench"
WAL_SHARE = 20
"""One in so many turns is written after the backups, so that there is WAL to replay."""
BARMAN_AT_ONCE = 4
STOP_LIMIT_S = 60.0
POLL_S = 0.05
CLOUD = ("--cloud-provider", "aws-s3", "--endpoint-url")


@dataclass(frozen=True, slots=True)
class Figure:
    """Seconds by phase, `other_s` among them what is in none; and the most memory that our program had resident."""

    seconds: float
    fetch_and_extract_s: float
    replay_s: float
    check_s: float
    rss_bytes: int | None = None

    @property
    def other_s(self) -> float:
        """Starting the program, looking through the store, stopping, handing over, starting the server."""
        return max(0.0, self.seconds - self.fetch_and_extract_s - self.replay_s - self.check_s)


class Stored:
    """One server, and what both hold of it."""

    def __init__(self, made: Ground) -> None:
        self.made = made
        self.bin = programs.directory(None)
        address = made.access.addresses[0]
        self.surroundings = environment(made.access, address, made.access.login, os.environ) | dict(
            made.s3.environment(), AWS_DEFAULT_REGION="us-east-1"
        )
        self.segments = 0

    async def fill(self) -> None:
        """Take both backups, write some more, and archive all WAL since then for both."""
        session = await self.made.session()
        try:
            await session.execute("ALTER SYSTEM SET wal_keep_size = '8GB'")
            await session.execute("SELECT pg_reload_conf()")
            first = str(await session.fetchval("SELECT pg_walfile_name(pg_current_wal_lsn())"))
            await asyncio.to_thread(self._back_up)
            turns = await session.fetchval("SELECT count(*) FROM outlive.turns")
            await append(session, turns, turns // WAL_SHARE)
            seen_at = datetime.now(UTC)
            await session.execute("SELECT pg_switch_wal()")
            current = str(await session.fetchval("SELECT pg_walfile_name(pg_current_wal_lsn())"))
        finally:
            await session.close()
        names = [path.name for path in sorted((self.made.data / "pg_wal").iterdir()) if is_segment(path.name)]
        await self._archive([name for name in names if first <= name < current], seen_at)

    def _back_up(self) -> None:
        timed([*self._outlive("backup", "create"), "--type", "full", "--dir", str(self.made.directory)], self._keyed())
        timed(
            [*self.barman("backup"), "-h", self.made.host, "-p", str(self.made.port), "-U", "postgres",
             "--immediate-checkpoint", "--name", NAME, "s3://outlive/barman", NAME], self.surroundings,
        )  # fmt: skip

    async def _archive(self, names: list[str], seen_at: datetime) -> None:
        store = open_store(self.made.s3.url("outlive", "restore"), self.made.s3.options())
        deposit = Deposit(store, Codec(keyring=load_keyring(None, {"OUTLIVE_BACKUP_KEY": KEY})))
        for name in names:
            path = self.made.data / "pg_wal" / name
            raw = path.read_bytes()
            await deposit.put(file_key(name), raw, hashlib.sha256(raw).hexdigest(), seen_at)
            line = [*self.barman("wal-archive"), "s3://outlive/barman", NAME, str(path)]
            await asyncio.to_thread(timed, line, self.surroundings)
        await store.close()
        self.segments = len(names)

    def restore(self, into: Path) -> Figure:
        """Ours."""
        output = self.made.scratch / "restored.json"
        command = [*self._outlive("restore"), "--into", str(into), "--latest", "--verify", "--start", "--json"]
        run = timed([*command, "--dir", str(self.made.scratch / "none")], self._keyed(), output)
        phases = json.loads(output.read_text())["phases"]
        return Figure(
            run.seconds, phases["fetch_s"] + phases["extract_s"], phases["replay_s"], phases["check_s"], run.rss_bytes
        )

    async def restore_by_barman(self, into: Path) -> Figure:
        """Barman's, and the checks."""
        began = time.monotonic()
        tools = Tools(programs=self.bin, major=programs.major_version(self.bin))
        async with scratch_workspace(into, self.bin) as workspace:
            line, options = identity.command(
                workspace.identity, [*self.barman("restore"), "s3://outlive/barman", NAME, NAME, str(workspace.data)]
            )
            assert not options, "Barman lies in a home directory, which another account can't enter"
            await asyncio.to_thread(timed, line, self.surroundings)
            fetched = time.monotonic()
            settings = dict(await prepare(workspace, tools))
            settings |= recovery_settings.recovery(Latest(), Timeline(1), self._wal_command(workspace.home))
            findings = Findings()
            with _surroundings(self.surroundings):
                async with private_server(workspace, self.bin, tools.major) as server:
                    server.start(settings)
                    await server.wait_until_ready(tools.replay_limit_s, lambda: None)
                    replayed = time.monotonic()
                    await examine(server, tools, {}, findings)
                    await server.stop()
                    checked = time.monotonic()
            assert not findings.complaints, findings.complaints
            await serve(workspace.data, self.bin, ports.find(1)[0])
            ended = time.monotonic()
            await asyncio.to_thread(stop, workspace.data)
        return Figure(ended - began, fetched - began, replayed - fetched, checked - replayed)

    def barman(self, program: str) -> list[str]:
        """The beginning of one of Barman's commands."""
        return [str(barman_programs.program(program)), *CLOUD, self.made.s3.endpoint]

    def _wal_command(self, home: Path) -> str:
        program = [*self.barman("wal-restore"), "--parallel", str(BARMAN_AT_ONCE), "--spool-dir", str(home / "spool")]
        return f"{shlex.join([*program, 's3://outlive/barman', NAME])} %f %p"

    def _outlive(self, *words: str) -> list[str]:
        place = ["--storage", self.made.s3.url("outlive", "restore")]
        place += ["--storage-options", str(self.made.s3.options_file())]
        return [sys.executable, "-m", "outlive.cli.main", *words, *place]

    @staticmethod
    def _keyed() -> dict[str, str]:
        return {**os.environ, "OUTLIVE_BACKUP_KEY": KEY}


@contextmanager
def _surroundings(wanted: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the programs that a server starts."""
    before = dict(os.environ)
    os.environ.update({name: value for name, value in wanted.items() if name.startswith("AWS_")})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def stop(data: Path) -> None:
    """End the server that was started on restored data."""
    pid = postmaster.running_pid(data)
    assert pid is not None, f"a server runs in {data}"
    os.kill(pid, signal.SIGINT)
    until = time.monotonic() + STOP_LIMIT_S
    while postmaster.runs(data) and time.monotonic() < until:
        time.sleep(POLL_S)


async def contest(stored: Stored, count: int) -> dict[str, Figure]:
    """Both in turn, `count` times; of each the run of middling time, with the most memory of all."""
    runs: dict[str, list[Figure]] = {}
    place = stored.made.scratch / "restored"
    for name in rounds((OURS, BARMAN), count):
        print(f"  {name}", file=sys.stderr)
        if name == BARMAN:
            runs.setdefault(name, []).append(await stored.restore_by_barman(place))
            continue
        runs.setdefault(name, []).append(await asyncio.to_thread(stored.restore, place / "ours"))
        await asyncio.to_thread(stop, place / "ours")
        shutil.rmtree(place / "ours")
    return {name: _middle(each) for name, each in runs.items()}


def _middle(runs: list[Figure]) -> Figure:
    middle = sorted(runs, key=lambda run: run.seconds)[(len(runs) - 1) // 2]
    peak = max((run.rss_bytes or 0) for run in runs) or None
    return Figure(middle.seconds, middle.fetch_and_extract_s, middle.replay_s, middle.check_s, peak)


def show(figures: Mapping[str, Figure], raw_bytes: int, segments: int) -> str:
    """A table for a page."""
    ours = figures[OURS]
    lines = [
        "| what | seconds | ours is faster by | fetch and extract | replay | check | all else | memory MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, each in figures.items():
        memory = "" if each.rss_bytes is None else f"{each.rss_bytes / 1e6:.0f}"
        ratio = "" if each is ours else f"{each.seconds / ours.seconds:.2f}"
        spent = " | ".join(
            f"{part:.1f}" for part in (each.fetch_and_extract_s, each.replay_s, each.check_s, each.other_s)
        )
        lines.append(f"| {name} | {each.seconds:.1f} | {ratio} | {spent} | {memory} |")
    lines.append(f"\nThe database was {raw_bytes / 1e6:.0f} MB, and {segments} segments of WAL were replayed.")
    return "\n".join(lines) + "\n"


async def _main(arguments: argparse.Namespace) -> None:
    barman_programs.bring()
    with tempfile.TemporaryDirectory(prefix="outlive-bench-", ignore_cleanup_errors=True) as scratch:
        async with ground(Path(scratch), arguments.megabytes) as made:
            stored = Stored(made)
            await stored.fill()
            figures = await contest(stored, arguments.rounds)
            raw_bytes = await _size(made)
    table = show(figures, raw_bytes, stored.segments)
    print(table)
    if arguments.json:
        known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        known |= {name: asdict(each) for name, each in figures.items()}
        arguments.json.write_text(json.dumps(known, indent=2) + "\n")
    if arguments.docs:
        page = DOCS / "backup-speed.md"
        page.write_text(MARKS.sub(lambda marks: f"{marks[1]}{table}{marks[2]}", page.read_text()))


async def _size(made: Ground) -> int:
    session = await made.session()
    try:
        return int(await session.fetchval("SELECT sum(pg_database_size(oid)) FROM pg_database"))
    finally:
        await session.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=256, help="how much agent state (default 256)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is run (default 2)")
    parser.add_argument("--json", type=Path, help="write the figures into this file, beside what is in it")
    parser.add_argument("--docs", action="store_true", help="write the table into the documentation")
    # `make bench-backup` hands what it was given to this one too.
    asyncio.run(_main(parser.parse_known_args()[0]))

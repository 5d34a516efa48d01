"""`make bench-backup`: full and incremental backups beside what else takes them, one server, one store, one run.

python bench/backup.py --megabytes 1024 --rounds 3 --json backup.json --docs
python bench/backup.py --megabytes 1024 --profile --docs

Barman is a separate program under the GPL: it is put into a virtual environment of its own, below ~/.cache.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import barman_programs
from backup_ground import TURNS_A_CONVERSATION, Ground, Run, append, ground, middle, rounds, timed
from backup_profile import profile, write
from outlive.model.lsn import Lsn
from outlive.postgres import programs
from outlive.postgres.access import environment

DOCS = Path(__file__).parents[1] / "docs/explanation"
MARKS = re.compile(r"(<!-- backups: .*? -->\n).*?(<!-- /backups -->)", re.DOTALL)
KEY = "00" * 32
_SIZE = "SELECT pg_relation_size('outlive.turns')"

OURS, OPEN = "outlive, zstd and encrypted", "outlive, zstd"
BARMAN_NAME, GZIP, THROWN = (
    "barman-cloud-backup, uncompressed",
    "pg_basebackup -Ft -z, to disk",
    "pg_basebackup, thrown away",
)
INCREMENT = "outlive, incremental after 1 % more"


@dataclass(frozen=True, slots=True)
class Figure:
    """One contestant; `raw_bytes` is what it read from the server."""

    seconds: float
    raw_bytes: int
    stored_bytes: int | None
    rss_bytes: int

    @property
    def megabytes_per_s(self) -> float:
        """Of the cluster's files, not of what was stored."""
        return self.raw_bytes / self.seconds / 1e6


class Contest:
    """The contestants on one ground."""

    def __init__(self, made: Ground) -> None:
        self._made = made
        self._bin = programs.directory(None)
        self._raw_bytes = 0
        self._stored: dict[str, int] = {}
        address = made.access.addresses[0]
        self._replication = environment(made.access, address, made.access.replication, os.environ)
        self._superuser = environment(made.access, address, made.access.login, os.environ) | dict(
            made.s3.environment(), AWS_DEFAULT_REGION="us-east-1"
        )
        self.contestants: dict[str, Callable[[], Run]] = {
            OURS: lambda: self._full(OURS, "encrypted", KEY),
            OPEN: lambda: self._full(OPEN, "open", None),
            BARMAN_NAME: self._barman,
            GZIP: self._gzip,
            THROWN: self._thrown,
        }

    async def run(self, count: int) -> dict[str, Figure]:
        """Every contestant, in turn, `count` times; then the incremental one as often, each after a fresh change."""
        runs: dict[str, list[Run]] = {}
        for name in rounds(tuple(self.contestants), count):
            print(f"  {name}", file=sys.stderr)
            runs.setdefault(name, []).append(await asyncio.to_thread(self.contestants[name]))
        figures = {name: self._figure(name, middle(each)) for name, each in runs.items()}
        increments = [await self._incremental() for _ in range(count)]
        return figures | {INCREMENT: self._figure(INCREMENT, middle(increments))}

    async def profile(self) -> str:
        """One full backup taken apart."""
        return await profile(
            self._made, lambda: self._taken("encrypted", "full", KEY)[1], self._throwing, self._replication
        )

    async def _incremental(self) -> Run:
        grown_bytes = await self._change()
        print(f"  {INCREMENT}", file=sys.stderr)
        run, said = await asyncio.to_thread(self._taken, "encrypted", "incremental", KEY)
        _require_all(said, grown_bytes)
        self._stored[INCREMENT] = said["stored_bytes"]
        return run

    def _figure(self, name: str, run: Run) -> Figure:
        return Figure(run.seconds, self._raw_bytes, self._stored.get(name), run.rss_bytes)

    def _full(self, name: str, place: str, key: str | None) -> Run:
        run, said = self._taken(place, "full", key)
        self._stored[name], self._raw_bytes = said["stored_bytes"], said["raw_bytes"]
        return run

    def _taken(self, place: str, kind: str, key: str | None) -> tuple[Run, dict[str, Any]]:
        surroundings = {**os.environ, **({"OUTLIVE_BACKUP_KEY": key} if key else {})}
        output = self._made.scratch / "ours.json"
        command = [
            sys.executable, "-m", "outlive.cli.main", "backup", "create", "--type", kind, "--or-fail", "--json",
            "--storage", self._made.s3.url("outlive", place), "--storage-options", str(self._made.s3.options_file()),
            "--dir", str(self._made.directory),
        ]  # fmt: skip
        return timed(command, surroundings, output), json.loads(output.read_text())

    def _barman(self) -> Run:
        command = [
            str(barman_programs.program("backup")), "--cloud-provider", "aws-s3", "--endpoint-url",
            self._made.s3.endpoint, "-h", self._made.host, "-p", str(self._made.port), "-U", "postgres",
            "--immediate-checkpoint", "s3://outlive/barman", "bench",
        ]  # fmt: skip
        return timed(command, self._superuser)

    def _gzip(self) -> Run:
        target = self._made.scratch / "gzip"
        run = timed(
            [str(self._bin / "pg_basebackup"), "-D", str(target), "-Ft", "-z", "-X", "fetch", "-c", "fast", "-w"],
            self._replication,
        )
        self._stored[GZIP] = sum(each.stat().st_size for each in target.iterdir())
        shutil.rmtree(target)
        return run

    def _thrown(self) -> Run:
        return timed(self._throwing, self._replication)

    @property
    def _throwing(self) -> list[str]:
        return [str(self._bin / "pg_basebackup"), "-D", "-", "-Ft", "-X", "fetch", "-c", "fast", "-w"]

    async def _change(self) -> int:
        """One in a hundred turns more, and their conversations, as agents at work add them; bytes that they take up."""
        session = await self._made.session()
        try:
            turns = await session.fetchval("SELECT count(*) FROM outlive.turns")
            before = await session.fetchval(_SIZE)
            await append(session, turns, max(TURNS_A_CONVERSATION, turns // 100))
            return int(await session.fetchval(_SIZE)) - int(before)
        finally:
            await session.close()


def _require_all(said: dict[str, Any], grown_bytes: int) -> None:
    """An incremental backup has to hold at least the blocks that came anew, beside its WAL."""
    start, end = Lsn.parse(said["start_lsn"]), Lsn.parse(said["end_lsn"])
    segments = end // said["segment_bytes"] - start // said["segment_bytes"] + 1
    held_bytes = said["raw_bytes"] - segments * said["segment_bytes"]
    if held_bytes < grown_bytes:
        raise RuntimeError(f"{said['id']} holds {held_bytes} bytes beside its WAL, and one table grew by {grown_bytes}")


def show(figures: dict[str, Figure]) -> str:
    """A table for a page."""
    ours = figures[OURS]
    lines = [
        "| what | seconds | raw MB/s | ours is faster by | stored MB | memory MB |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in figures.items():
        is_increment = name == INCREMENT
        rate = "" if is_increment else f"{each.megabytes_per_s:.0f}"
        ratio = "" if is_increment or each is ours else f"{each.seconds / ours.seconds:.2f}"
        stored = "" if each.stored_bytes is None else f"{each.stored_bytes / 1e6:.1f}"
        lines.append(f"| {name} | {each.seconds:.1f} | {rate} | {ratio} | {stored} | {each.rss_bytes / 1e6:.0f} |")
    increment = figures[INCREMENT]
    share, size = increment.seconds / ours.seconds, (increment.stored_bytes or 0) / (ours.stored_bytes or 1)
    lines.append(f"\nThe incremental one took {share:.0%} of the full one's time and {size:.1%} of its bytes;")
    lines.append(f"the server's files were {ours.raw_bytes / 1e6:.0f} MB.")
    return "\n".join(lines) + "\n"


def draw(figures: dict[str, Figure], path: Path) -> None:
    """Bars of raw megabytes a second."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "outlive"
    import matplotlib.pyplot as plt

    shown = {name: each.megabytes_per_s for name, each in figures.items() if name != INCREMENT}
    panel, axis = plt.subplots(figsize=(7, 2.8))
    axis.barh(list(shown)[::-1], list(shown.values())[::-1])
    axis.set_xlabel("raw MB a second")
    panel.tight_layout()
    panel.savefig(path, metadata={"Date": None})
    plt.close(panel)


async def _profile(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="outlive-bench-") as scratch:
        async with ground(Path(scratch), arguments.megabytes) as made:
            text = await Contest(made).profile()
    print(text)
    if arguments.docs:
        write(text)


async def _main(arguments: argparse.Namespace) -> None:
    barman_programs.bring()
    with tempfile.TemporaryDirectory(prefix="outlive-bench-") as scratch:
        async with ground(Path(scratch), arguments.megabytes) as made:
            figures = await Contest(made).run(arguments.rounds)
    print(show(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps({name: asdict(each) for name, each in figures.items()}, indent=2) + "\n")
    if arguments.svg:
        draw(figures, arguments.svg)
    if arguments.docs:
        page = DOCS / "backup-speed.md"
        page.write_text(MARKS.sub(lambda marks: f"{marks[1]}{show(figures)}{marks[2]}", page.read_text()))
        draw(figures, DOCS / "backup-speed.svg")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=256, help="how much agent state (default 256)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run (default 3)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--svg", type=Path, help="draw them to this file")
    parser.add_argument("--profile", action="store_true", help="take one full backup apart instead")
    parser.add_argument("--docs", action="store_true", help="write table and picture into the documentation")
    given = parser.parse_args()
    asyncio.run(_profile(given) if given.profile else _main(given))

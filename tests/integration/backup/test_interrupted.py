from __future__ import annotations

import asyncio
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from conditions import eventually
from integration.backup.hand_made import PROGRAMS, HandMade
from integration.client.servers import Servers
from outlive.backup.restoring.workspace import check
from outlive.errors import ConfigurationError
from outlive.object_storage.opening import open_store
from outlive.postgres import identity, postmaster
from require import require

LIMIT_S = 60.0
HOME = ".outlive-restore"
STANDING = {"checking": "pg_verifybackup", "combining": "pg_combinebackup", "reading": "pg_controldata"}
"""Phases that are the run of a program of PostgreSQL."""
PHASES = ("fetching", "checking", "combining", "reading", "recovering", "handing over")
# The whole of a restore in a process of its own, which tells its phase and waits there to be killed.
PROGRAM = """
import asyncio, pickle, sys, time
from dataclasses import replace
from pathlib import Path
from outlive.backup.plan.recovery import Wish
from outlive.backup.plan.targets import Latest
from outlive.backup.restoring.restore import restore
from outlive.object_storage.opening import open_store

into, told, where, stop_at, url, programs = (Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])

def reached(phase):
    if phase == stop_at:
        told.write_text(phase)
        time.sleep(600)

def report(progress):
    reached({"fetch": "fetching", "replay": "recovering"}[progress.phase])

async def prepare(server):
    if stop_at == "handing over":
        told.write_text(stop_at)
        await asyncio.sleep(600)

material = replace(pickle.loads(Path(where).read_bytes()), store=open_store(url))
restored = asyncio.run(
    restore(material, Wish(target=Latest()), into, report=report, prepare=prepare, postgres_bin=Path(programs))
)
print(restored.arrival.lsn)
reached("starting")
"""
# A program that tells that it was started, and stands still under a name that can be looked for.
STANDS = """#!/bin/sh
echo told > {told}
exec tail -f "$0"
"""


@dataclass(frozen=True)
class Ready:
    """A store on disk, and the program that restores from it."""

    room: Path
    url: str

    def start(
        self, stop_at: str = "", preparation: Callable[[], None] | None = None, into: Path | None = None
    ) -> subprocess.Popen[str]:
        """Begin a restore that stands still at a phase."""
        self.told.unlink(missing_ok=True)
        places = [str(into or self.into), str(self.told), str(self.room / "material")]
        self.temporary.mkdir(exist_ok=True)
        self.temporary.chmod(0o777)
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *places, stop_at, self.url, str(self._programs(stop_at))],
            env={**os.environ, "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            preexec_fn=preparation,
        )

    def _programs(self, stop_at: str) -> Path:
        """PostgreSQL's, one of which stands still."""
        folder = self.room / f"bin-{stop_at or 'all'}"
        if not folder.exists():
            folder.mkdir()
            for program in PROGRAMS.iterdir():
                (folder / program.name).symlink_to(program)
            if stop_at in STANDING:
                (folder / STANDING[stop_at]).unlink()
                (folder / STANDING[stop_at]).write_text(STANDS.format(told=self.told))
                (folder / STANDING[stop_at]).chmod(0o755)
        return folder

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Once it has come to its phase; and see that nothing of it goes on."""
        eventually(lambda: self.told.exists() or process.poll() is not None, within_s=LIMIT_S)
        assert process.poll() is None, process.communicate()[1]
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=LIMIT_S)
        eventually(lambda: not list(_running(str(self.room))), within_s=LIMIT_S)

    @property
    def into(self) -> Path:
        """Where to."""
        return self.room / "data"

    @property
    def temporary(self) -> Path:
        """What is temporary for all of them."""
        return self.room / "tmp"

    @property
    def told(self) -> Path:
        """Comes to be when the phase is reached."""
        return self.room / "signs" / "told"


def _running(word: str) -> Iterator[str]:
    """Command lines on this machine with that word in them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if word in line:
                yield line


@pytest.fixture
async def ready(source: Servers, room: Path) -> Ready:
    """A small full backup, an incremental one, and some WAL behind it."""
    url = f"file://{room}/store"
    (room / "signs").mkdir()
    (room / "signs").chmod(0o777)  # the servers' account tells there too
    made = HandMade(open_store(url))
    await source.configure("n1", synchronous_standby_names="", summarize_wal="on")
    await source.sql("n1", "create table if not exists few (n int)", "select 1")
    await made.back_up(source, "n1", "full")
    await made.back_up(source, "n1", "incremental", parent="full")
    await source.sql("n1", "insert into few values (1)", "select 1")
    await made.archive(source, "n1")
    material = replace(made.material(), store=None)  # type: ignore[arg-type]
    (room / "material").write_bytes(pickle.dumps(material))
    return Ready(room, url)


async def test_a_killed_restore_is_recognised_and_begun_anew(ready: Ready) -> None:
    """Killed at any phase, it leaves nothing that PostgreSQL would start, nor a process; the next one there ends."""
    for phase in PHASES:
        await asyncio.to_thread(ready.kill, ready.start(phase))
        assert [path.name for path in ready.into.iterdir()] == [HOME], phase
    await asyncio.to_thread(ready.kill, ready.start("starting"))
    assert (ready.into / "PG_VERSION").exists()
    assert not (ready.into / HOME).exists()
    assert not postmaster.runs(ready.into)
    again = ready.start()
    _, errors = await asyncio.to_thread(again.communicate, timeout=LIMIT_S)
    assert "is not empty" in errors


async def test_a_restore_that_was_killed_while_it_handed_over_is_begun_anew(ready: Ready, source: Servers) -> None:
    """Some names are moved up already: what PostgreSQL starts by is moved last, and the next restore clears it all."""
    await asyncio.to_thread(ready.kill, ready.start("handing over"))
    data = ready.into / HOME / "data"
    names = sorted(path.name for path in data.iterdir())
    marker = json.loads((ready.into / HOME / "marker.json").read_text()) | {"moving": names}
    (ready.into / HOME / "marker.json").write_text(json.dumps(marker))
    for name in names:
        if name != "global":
            (data / name).rename(ready.into / name)
    line, options = identity.command(source.account, [str(PROGRAMS / "postgres"), "-D", str(ready.into)])
    started = await asyncio.create_subprocess_exec(*line, stderr=subprocess.PIPE, cwd="/", **options)
    _, said = await asyncio.wait_for(started.communicate(), LIMIT_S)
    assert b"could not find the database system" in said
    done = ready.start()
    printed, errors = await asyncio.to_thread(done.communicate, timeout=LIMIT_S)
    assert done.returncode == 0, errors
    assert "/" in printed
    assert not (ready.into / HOME).exists()


async def test_what_a_killed_restore_left_goes_with_the_next_one(ready: Ready) -> None:
    """From the directory for temporary files, too; what a restore that goes on has there stays."""
    living = ready.start("recovering", into=ready.room / "living")
    await asyncio.to_thread(eventually, ready.told.exists, within_s=LIMIT_S)
    [kept] = ready.temporary.iterdir()
    try:
        killed = ready.start("recovering", into=ready.room / "killed")
        await asyncio.to_thread(eventually, ready.told.exists, within_s=LIMIT_S)
        killed.send_signal(signal.SIGKILL)
        await asyncio.to_thread(killed.communicate, timeout=LIMIT_S)
        assert len(list(ready.temporary.iterdir())) == 2
        done = ready.start(into=ready.room / "done")
        _, errors = await asyncio.to_thread(done.communicate, timeout=LIMIT_S)
        assert done.returncode == 0, errors
        assert list(ready.temporary.iterdir()) == [kept]
        assert (kept / "postgresql.conf").exists()
    finally:
        ready.told.touch()
        await asyncio.to_thread(ready.kill, living)


async def test_an_interrupted_restore_leaves_nothing(ready: Ready) -> None:
    """Ctrl-C ends the server and the restore, and the directory is as empty as it was."""
    process = ready.start("handing over")
    await asyncio.to_thread(eventually, ready.told.exists, within_s=LIMIT_S)
    process.send_signal(signal.SIGINT)
    await asyncio.to_thread(process.communicate, timeout=LIMIT_S)
    assert process.returncode != 0
    assert not list(ready.into.iterdir())


async def test_a_full_disk_is_told_and_leaves_nothing(ready: Ready) -> None:
    """Where a file can't grow, the error says that there is no room and where; nothing misleading stays."""

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    process = ready.start(preparation=small)
    _, errors = await asyncio.to_thread(process.communicate, timeout=LIMIT_S)
    assert process.returncode != 0
    assert f"no room left in {ready.into}" in errors
    assert not list(ready.into.iterdir())


@pytest.fixture
def small_disk(room: Path) -> Iterator[Path]:
    """A disk with room for the backups of `ready` and a few megabytes, not for the WAL."""
    disk = room / "disk"
    disk.mkdir()
    as_root = ["sudo", "-n"] if os.geteuid() and shutil.which("sudo") else []
    options = f"size=64m,mode=755,uid={os.getuid()},gid={os.getgid()}"
    line = [*as_root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    mounted = subprocess.run(line, check=False, capture_output=True, text=True)
    require("mount", mounted.returncode == 0, f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run([*as_root, "umount", "--lazy", str(disk)], check=True)


async def test_a_disk_that_fills_up_is_told_and_leaves_nothing(ready: Ready, small_disk: Path) -> None:
    """Too small from the start, and full on the way: each time it is said that there is no room, and where."""
    ballast, into = small_disk / "ballast", small_disk / "data"
    for megabytes, words in ((40, "no room in"), (0, "no room left in")):
        ballast.write_bytes(bytes(megabytes * 1024 * 1024))
        process = ready.start(into=into)
        _, errors = await asyncio.to_thread(process.communicate, timeout=LIMIT_S)
        assert process.returncode != 0
        assert f"{words} {into}" in errors, errors
        assert not list(into.iterdir())


async def test_a_directory_in_use_is_never_restored_over(ready: Ready, source: Servers) -> None:
    """What is not empty is refused until it is named, what is running always; what was there is put aside."""
    ready.into.mkdir()
    (ready.into / "mine").write_text("mine")
    refused = ready.start()
    _, errors = await asyncio.to_thread(refused.communicate, timeout=LIMIT_S)
    assert "is not empty" in errors
    assert (ready.into / "mine").read_text() == "mine"
    assert postmaster.runs(source.root / "n1")
    with pytest.raises(ConfigurationError, match="is running"):
        check(source.root / "n1", source.root / "n1")

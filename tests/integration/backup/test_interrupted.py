from __future__ import annotations

import asyncio
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from conditions import eventually
from integration.backup.hand_made import HandMade
from integration.client.servers import Servers
from outlive.backup.restoring.workspace import check
from outlive.errors import ConfigurationError
from outlive.object_storage.opening import open_store
from outlive.postgres import postmaster

LIMIT_S = 60.0
PHASES = ("fetching", "recovering", "handing over")
# The whole of a restore in a process of its own, which tells its phase and waits there to be killed.
PROGRAM = """
import asyncio, pickle, sys, time
from dataclasses import replace
from pathlib import Path
from outlive.backup.plan.recovery import Wish
from outlive.backup.plan.targets import Latest
from outlive.backup.restoring.restore import restore
from outlive.object_storage.opening import open_store

into, told, where, stop_at = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]

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

material = replace(pickle.loads(Path(where).read_bytes()), store=open_store(sys.argv[5]))
restored = asyncio.run(restore(material, Wish(target=Latest()), into, report=report, prepare=prepare))
print(restored.arrival.lsn)
"""


@dataclass(frozen=True)
class Ready:
    """A store on disk, and the program that restores from it."""

    room: Path
    url: str

    def start(self, stop_at: str = "", preparation: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        """Begin a restore that stands still at a phase."""
        (self.room / "told").unlink(missing_ok=True)
        program = [sys.executable, "-c", PROGRAM, str(self.into), str(self.room / "told"), str(self.room / "material")]
        return subprocess.Popen(
            [*program, stop_at, self.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            preexec_fn=preparation,
        )

    @property
    def into(self) -> Path:
        """Where to."""
        return self.room / "data"


@pytest.fixture
async def ready(source: Servers, room: Path) -> Ready:
    """A small backup with some WAL behind it."""
    url = f"file://{room}/store"
    made = HandMade(open_store(url))
    await source.configure("n1", synchronous_standby_names="")
    await source.sql("n1", "create table if not exists few (n int)", "select 1")
    await made.back_up(source, "n1", "full")
    await source.sql("n1", "insert into few values (1)", "select 1")
    await made.archive(source, "n1")
    material = replace(made.material(), store=None)  # type: ignore[arg-type]
    (room / "material").write_bytes(pickle.dumps(material))
    return Ready(room, url)


async def test_a_killed_restore_is_recognised_and_begun_anew(ready: Ready) -> None:
    """Killed at any phase, it leaves nothing that PostgreSQL would start; the next restore there clears it and ends."""
    for phase in PHASES:
        process = ready.start(phase)
        await asyncio.to_thread(eventually, (ready.room / "told").exists, within_s=LIMIT_S)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=LIMIT_S)
        assert [path.name for path in ready.into.iterdir()] == [".outlive-restore"], phase
    done = ready.start()
    printed, errors = await asyncio.to_thread(done.communicate, timeout=LIMIT_S)
    assert done.returncode == 0, errors
    assert "/" in printed
    assert (ready.into / "PG_VERSION").exists()
    assert not (ready.into / ".outlive-restore").exists()
    assert not postmaster.runs(ready.into)


async def test_an_interrupted_restore_leaves_nothing(ready: Ready) -> None:
    """Ctrl-C ends the server and the restore, and the directory is as empty as it was."""
    process = ready.start("handing over")
    await asyncio.to_thread(eventually, (ready.room / "told").exists, within_s=LIMIT_S)
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

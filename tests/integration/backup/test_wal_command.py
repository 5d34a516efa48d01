"""`outlive wal status` and `check` on the archive of a real server, whole and damaged."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from integration.backup.archiving import Archiving
from integration.client.waiting import until
from outlive.backup.plan.archived import file_key

LIMIT_S = 180.0


async def run(archiving: Archiving, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run `outlive wal` on the store, with no cluster around: its exit code and what it says."""
    command = [sys.executable, "-m", "outlive.cli.main", "wal", *arguments, "--json", "--storage", archiving.url]
    command += ["--dir", str(archiving.home / "nowhere")]
    done = await asyncio.to_thread(
        subprocess.run, command, check=False, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


async def some_segments(archiving: Archiving, count: int) -> list[str]:
    """Finish some segments, and wait until they are archived."""
    names = [await archiving.switch() for _ in range(count)]
    for name in names:
        await archiving.wait_for(name)
    return names


async def test_a_sound_archive(archiving: Archiving) -> None:
    """It has no gap, its newest word is seconds old, and every object reads back as what it is called."""
    await some_segments(archiving, 3)

    async def proved() -> bool:
        code, said = await run(archiving, "status")
        return code == 0 and said["loss_seconds"] is not None and said["loss_seconds"] < 5.0 and not said["gaps"]

    await until(proved, LIMIT_S)
    code, said = await run(archiving, "check", "--deep")
    assert (code, said["sound"], said["damaged"]) == (0, True, [])


async def test_a_removed_segment_is_found(archiving: Archiving) -> None:
    """A segment that is gone between two others is named, and the command fails."""
    _, victim, _ = await some_segments(archiving, 3)
    store = archiving.deposit().store
    kept = await store.get(file_key(victim))
    await store.delete([file_key(victim)])
    code, said = await run(archiving, "check")
    assert code == 9
    assert said["gaps"] == [{"first": victim, "last": victim, "segments": 1}]
    await store.put(file_key(victim), kept)
    assert (await run(archiving, "check"))[0] == 0


async def test_damage_inside_is_found_by_reading(archiving: Archiving) -> None:
    """A flipped byte, and another segment's bytes under this one's name, pass by name and not by content."""
    first, second = await some_segments(archiving, 2)
    store = archiving.deposit().store
    kept = await store.get(file_key(first))
    flipped = bytearray(kept)
    flipped[len(flipped) // 2] ^= 1
    for content in (bytes(flipped), await store.get(file_key(second)), kept[:-9]):
        await store.put(file_key(first), content)
        code, said = await run(archiving, "check", "--deep")
        assert code == 9
        assert [key for key, _ in said["damaged"]] == [file_key(first)]
    await store.put(file_key(first), kept)


async def test_foreign_objects_are_told_and_hurt_nobody(archiving: Archiving) -> None:
    """A doubled segment under another name and a stranger's file are named; the archive is sound all the same."""
    (name,) = await some_segments(archiving, 1)
    store = archiving.deposit().store
    strange = [f"{file_key(name)}.copy", "wal/notes.txt"]
    for key in strange:
        await store.put(key, b"x" * 100)
    code, said = await run(archiving, "check")
    assert (code, said["strange"]) == (0, strange)
    await store.delete(strange)


async def test_a_store_that_holds_nothing_is_told(archiving: Archiving, tmp_path: Path) -> None:
    """An empty directory is no archive, and is not reported as a sound one."""
    command = [sys.executable, "-m", "outlive.cli.main", "wal", "check", "--storage", f"file://{tmp_path}"]
    command += ["--dir", str(archiving.home / "nowhere")]
    done = await asyncio.to_thread(
        subprocess.run, command, check=False, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 2
    assert "holds no backups" in done.stderr

"""What killed demos left is removed, and nothing that somebody still has."""

from __future__ import annotations

from pathlib import Path

from outlive.backup.restoring.locked import LOCK, locked_directory
from outlive.demo.scratch import PREFIX, clear_left

LEDGER = f"{PREFIX}ledger-"


def _left(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    (parent / name / LOCK).touch()
    (parent / name / "worker-1.jsonl").touch()
    return parent / name


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def test_what_nobody_locks_goes_and_is_named(tmp_path: Path) -> None:
    """A living demo holds its lock; what is kept for the user, and what is none of ours, has no lock."""
    left = [_left(tmp_path, f"{LEDGER}a"), _left(tmp_path, f"{PREFIX}b")]
    (_left(tmp_path, f"{LEDGER}kept") / LOCK).unlink()
    _left(tmp_path, "another-c")
    said: list[str] = []
    with locked_directory(LEDGER, tmp_path) as living:
        await clear_left(said.append, tmp_path)
        rest = _names(tmp_path)
    assert rest == {living.name, f"{LEDGER}kept", "another-c"}
    assert sorted(said) == sorted(f"Removing what a killed demo left in {path}." for path in left)


async def test_what_belongs_to_another_account_stays(tmp_path: Path) -> None:
    """What is written there names processes that are to be stopped, and anybody may write it."""
    left = _left(tmp_path, f"{PREFIX}theirs")
    said: list[str] = []
    await clear_left(said.append, tmp_path, left.stat().st_uid + 1)
    assert left.exists()
    assert said == []

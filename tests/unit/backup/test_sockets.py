"""What killed restores left for their sockets is removed, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from outlive.backup.restoring.locked import LOCK
from outlive.backup.restoring.sockets import PREFIX, socket_directory


def test_what_nobody_locks_goes_and_what_somebody_locks_stays(tmp_path: Path) -> None:
    """A dead process has let go of its lock; the directory of a living one is not touched."""
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / LOCK).touch()
    (left / "postgresql.conf").touch()
    with socket_directory(tmp_path) as living:
        assert not left.exists()
        with socket_directory(tmp_path) as another:
            assert sorted(tmp_path.iterdir()) == sorted([living, another])
            assert living.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_others_put_there_is_left_alone(tmp_path: Path) -> None:
    """A directory without a lock, and a lock that leads elsewhere."""
    for name in ("bare", "link"):
        (tmp_path / f"{PREFIX}{name}").mkdir()
    (tmp_path / "elsewhere").touch()
    (tmp_path / f"{PREFIX}link" / LOCK).symlink_to(tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*"))
    with socket_directory(tmp_path):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_a_pipe_in_place_of_the_lock_is_not_waited_for(tmp_path: Path) -> None:
    """Whoever may write there could else stop every restore."""
    (tmp_path / f"{PREFIX}pipe").mkdir()
    os.mkfifo(tmp_path / f"{PREFIX}pipe" / LOCK)
    with socket_directory(tmp_path) as made:
        assert made.is_dir()

"""The directory of a restore: claimed while it is empty, filled aside, and handed over in one step.

Everything happens in INTO/.outlive-restore, so that INTO holds no PostgreSQL until the data is whole: nobody starts
half a restore by mistake. That folder is also what tells an unfinished restore, which the next one clears away.

    INTO/.outlive-restore/marker.json   who restores what, and what is moved up; written first
    INTO/.outlive-restore/lock          locked while the restore lives
    INTO/.outlive-restore/parts/ID/     the backups of a chain
    INTO/.outlive-restore/data/         the data directory in the making
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from outlive import system
from outlive.errors import ConfigurationError
from outlive.postgres import postmaster
from outlive.postgres.identity import own
from outlive.postgres.plan.identity import Identity

HOME = ".outlive-restore"
STOP_LIMIT_S = 30.0
_POLL_S = 0.02


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """Says that a restore is under way; `moving` names what is being moved up at its end."""

    started_at: str
    source: str
    moving: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workspace:
    """The restore's own place in the directory `into`."""

    into: Path
    identity: Identity

    @property
    def home(self) -> Path:
        """What tells an unfinished restore."""
        return self.into / HOME

    @property
    def data(self) -> Path:
        """The data directory in the making."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server in recovery says."""
        return self.home / "postgres.log"

    def part(self, backup: str) -> Path:
        """Where one backup of a chain is unpacked."""
        return self.home / "parts" / backup

    def make(self, path: Path) -> Path:
        """A directory for the server's account."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        own(self.identity, [path])
        return path

    def hand_over(self, source: str) -> None:
        """Move the data up and the restore's own files away: from here on it is a data directory like any other."""
        names = tuple(sorted(entry.name for entry in self.data.iterdir()))
        _write_marker(self.home, Marker(started_at=_now(), source=source, moving=names))
        # Last, since PostgreSQL does not start without it.
        for name in sorted(names, key=lambda name: name == "global"):
            (self.data / name).rename(self.into / name)
        shutil.rmtree(self.home)

    def clear(self) -> None:
        """Remove all that the restore made; `into` is empty again."""
        _clear(self.into)


def check(into: Path, replace: Path | None) -> None:
    """See whether a restore may go there.

    Raises:
        ConfigurationError: it is no directory, is in use, or holds something and was not named to be replaced.
    """
    if not into.exists():
        return
    if not into.is_dir():
        raise ConfigurationError(f"{into} is not a directory", hint="Choose another one with --into.")
    if postmaster.runs(into):
        raise ConfigurationError(
            f"a PostgreSQL is running in {into}", hint="Stop it first; nothing is ever restored over a running server."
        )
    if (into / HOME).exists() or not any(into.iterdir()):
        return
    if replace is None or replace.absolute() != into.absolute():
        raise ConfigurationError(
            f"{into} is not empty",
            hint=f"Choose an empty one, or say --replace {into}: what is in it is then put aside, not removed.",
        )


@contextmanager
def claim(into: Path, identity: Identity, source: str, *, replace: Path | None = None) -> Iterator[Workspace]:
    """Make `into` this restore's until the block ends; what an earlier one left unfinished there is cleared away.

    A block that ends with an exception leaves `into` as empty as it was.

    Raises:
        ConfigurationError: it can't be had: see `check`; or another restore is at work there.
    """
    check(into, replace)
    with _locked(into, replace) as lock:
        own(identity, [into, into / HOME])
        _write_marker(into / HOME, Marker(started_at=_now(), source=source))
        workspace = Workspace(into, identity)
        try:
            yield workspace
        except BaseException:
            workspace.clear()
            raise
        finally:
            os.close(lock)


@contextmanager
def _locked(into: Path, replace: Path | None) -> Iterator[int]:
    unfinished = (into / HOME).exists()
    if replace is not None and into.exists() and not unfinished and any(into.iterdir()):
        into.rename(into.with_name(f"{into.name}.replaced-{system.now_utc():%Y%m%dT%H%M%S}"))
    (into / HOME).mkdir(mode=0o700, parents=True, exist_ok=True)
    into.chmod(0o700)
    lock = os.open(into / HOME / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ConfigurationError(
            f"another restore is at work in {into}", hint="Wait until it has ended, or choose another directory."
        ) from None
    if unfinished:
        _clear(into, keep_home=True)
    yield lock


def _clear(into: Path, *, keep_home: bool = False) -> None:
    """Remove what a restore made: its own folder, and what it had begun to move up. Nothing else was there."""
    home = into / HOME
    _stop_leftover(home / "data")
    moved = _read_marker(home)
    for name in moved.moving if moved else ():
        _remove(into / name)
    for entry in home.iterdir():
        if not (keep_home and entry.name == "lock"):
            _remove(entry)
    if not keep_home:
        home.rmdir()


def _stop_leftover(data: Path) -> None:
    """End the server that a killed restore left running on data that nobody will use."""
    pid = postmaster.running_pid(data)
    if pid is None:
        return
    with suppress(ProcessLookupError):  # it was ending by itself, as it does with whoever restored
        os.kill(pid, signal.SIGQUIT)
    until = system.monotonic() + STOP_LIMIT_S
    while postmaster.running_pid(data) is not None:
        if system.monotonic() > until:
            raise ConfigurationError(f"the server with pid {pid}, left by an unfinished restore, does not stop")
        time.sleep(_POLL_S)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read_marker(home: Path) -> Marker | None:
    try:
        return msgspec.json.decode((home / "marker.json").read_bytes(), type=Marker)
    except (OSError, msgspec.MsgspecError):
        return None


def _write_marker(home: Path, marker: Marker) -> None:
    partial = home / "marker.json.new"
    partial.write_bytes(msgspec.json.encode(marker))
    partial.replace(home / "marker.json")


def _now() -> str:
    return system.now_utc().isoformat()

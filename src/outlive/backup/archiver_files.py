"""What the archiver is told, and what it says of itself: two JSON files in its node's directory."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import msgspec

from outlive.backup.plan.cadence import OBJECTIVE_S
from outlive.errors import ConfigurationError

WORKERS = 4
STALE_AFTER_S = 15.0
"""An archiver writes its state every second or so; one that has not for this long doesn't run."""


class ArchiverConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`data` is PostgreSQL's data directory, `socket` a name in the abstract namespace, `state` the file to write.

    `host`, `port`, `user` and `password` reach the node's own PostgreSQL; the role needs no right but to log in.
    The file holds the password and is 0600; the store's credentials and the key stay in their own files.
    """

    node: str
    data: str
    socket: str
    state: str
    url: str
    port: int
    user: str
    password: str
    host: str = "127.0.0.1"
    database: str = "postgres"
    options_file: str | None = None
    key_file: str | None = None
    objective_s: float = OBJECTIVE_S
    workers: int = WORKERS
    compression: int = 1

    def __repr__(self) -> str:
        return f"ArchiverConfig({self.node}, {self.url})"


class ArchiverState(msgspec.Struct, kw_only=True):
    """What an archiver last said of itself. Moments are aware UTC; None means: not yet, or not now.

    `refused`: files that can't be archived as they are, and why; PostgreSQL waits behind the first of them.
    `proved_at`: every commit acknowledged before then is in the store, up to `streamed_end` of `timeline`.
    """

    node: str
    pid: int
    started_at: datetime
    written_at: datetime
    role: str = "unknown"
    timeline: int | None = None
    last_archived: str | None = None
    last_archived_at: datetime | None = None
    archived: int = 0
    found_there: int = 0
    backlog: int = 0
    failing_since: datetime | None = None
    failures: int = 0
    last_error: str | None = None
    last_error_at: datetime | None = None
    refused: dict[str, str] = {}
    streamed_end: str | None = None
    proved_at: datetime | None = None
    pieces: int = 0
    stream_error: str | None = None


def read_config(path: Path) -> ArchiverConfig:
    """The archiver's configuration.

    Raises:
        ConfigurationError: it can't be read, or is not what it should be.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=ArchiverConfig)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{path} is no configuration of an archiver: {error}") from None


def read_state(path: Path) -> ArchiverState | None:
    """What the archiver last said; None if it never did, or can't be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ArchiverState)
    except (OSError, msgspec.MsgspecError):
        return None


def write_state(path: Path, state: ArchiverState) -> None:
    """Put the state in place whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=2))
    partial.replace(path)

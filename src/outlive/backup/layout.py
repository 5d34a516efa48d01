"""What is called how in a store. Pure; the WAL's names are in `plan/archived.py`.

    repository.json                        whose backups these are; written once
    backups/ID/manifest.json               written last: it makes the backup exist
    backups/ID/begun.json                  written first: reserves the ID, names the parent; removed at the end
    backups/ID/base.tar                    what pg_basebackup wrote
    backups/ID/pg_manifest                 PostgreSQL's own manifest of it, which the next incremental needs
    backups/ID/dump                        what pg_dump wrote, of a logical one
    backups/ID/verifications/NUMBER.json   the evidence of its restore tests
    keeps/NAME.json                        backups that retention leaves alone
    points/NAME.json                       named restore points
    wal/...  commits/...                   the archive

An ID is the moment of its start and its kind, `20261124T225000Z-full`, with `-2` and so on behind it where there is
one of that second already; IDs sort by time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Self

from outlive.errors import ConfigurationError

REPOSITORY = "repository.json"
BACKUPS = "backups"
KEEPS = "keeps"
POINTS = "points"
MANIFEST = "manifest.json"
BEGUN = "begun.json"
BASE = "base.tar"
PG_MANIFEST = "pg_manifest"
DUMP = "dump"
VERIFICATIONS = "verifications"
SAME_SECOND_LIMIT = 100
_MOMENT = "%Y%m%dT%H%M%SZ"
_ID = re.compile(r"(\d{8}T\d{6}Z)-(full|incremental|logical)(?:-([1-9]\d?))?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Kind(Enum):
    """What a backup is: all files, those blocks that changed since another one, or the rows as statements."""

    FULL = "full"
    INCREMENTAL = "incremental"
    LOGICAL = "logical"


@dataclass(frozen=True, slots=True)
class BackupId:
    """Names a backup. `started_at` is aware UTC, to the second."""

    started_at: datetime
    kind: Kind
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an ID.

        Raises:
            ConfigurationError: it is none.
        """
        match = _ID.fullmatch(text)
        moment = _moment(match[1]) if match else None
        if match is None or moment is None:
            raise ConfigurationError(f"not the ID of a backup: {text[:80]!r}", hint="`outlive backup list` shows them.")
        return cls(moment, Kind(match[2]), int(match[3] or 1))

    def __str__(self) -> str:
        suffix = f"-{self.number}" if self.number > 1 else ""
        return f"{self.started_at.strftime(_MOMENT)}-{self.kind.value}{suffix}"


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None


def backup_folder(backup_id: str) -> str:
    """The folder of a backup."""
    return f"{BACKUPS}/{backup_id}"


def backup_key(backup_id: str, part: str) -> str:
    """The key of one of its objects: MANIFEST, BASE, PG_MANIFEST or DUMP."""
    return f"{BACKUPS}/{backup_id}/{part}"


def verification_key(backup_id: str, number: int) -> str:
    """The key of the evidence of a restore test, the first one being 1."""
    return f"{BACKUPS}/{backup_id}/{VERIFICATIONS}/{number:08d}.json"


def keep_key(name: str) -> str:
    """The key of a keep of this name."""
    return f"{KEEPS}/{check_name(name)}.json"


def point_key(name: str) -> str:
    """The key of a restore point of this name."""
    return f"{POINTS}/{check_name(name)}.json"


def id_of(key: str) -> str | None:
    """The ID of the backup that a key belongs to; None where it belongs to none."""
    parts = key.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == BACKUPS else None


def check_name(name: str) -> str:
    """The name itself.

    Raises:
        ConfigurationError: no keep and no restore point may be called so.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"not a name: {name[:80]!r}", hint="Letters, digits, dot, hyphen and underscore; 63 of them at most."
        )
    return name

"""What is written down of a backup; with it in the store the backup exists.

Kept as JSON that anybody can read who can read the store: sizes, times, positions and counts, and no secret. A hash
over it tells whether it is as it was written.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from outlive.backup.layout import Kind
from outlive.errors import ChecksumMismatchError, ConfigurationError
from outlive.model.lsn import Lsn, Timeline

FORMAT = 1


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a backup. `sha256` is of the bytes in the store; `raw_bytes` is the length of what they hold."""

    key: str
    size_bytes: int
    sha256: str
    raw_bytes: int


class TableCount(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a table; an estimate of PostgreSQL's where counting would have taken too long."""

    rows: int
    exact: bool = True


class DatabaseCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What a database held when the backup was finished, in one snapshot.

    `lsn` is where the WAL stood just before the snapshot was taken, `until_lsn` just after: where they are the same,
    a server recovered to there holds exactly this. `tables` are named `schema.table`. `digests` are of the agent's
    state, by name (`conversations`: an MD5 over each conversation's id and turns).
    """

    database: str
    lsn: str
    until_lsn: str
    tables: dict[str, TableCount]
    digests: dict[str, str] = {}


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One backup. LSNs are in PostgreSQL's form, moments aware UTC, durations in seconds by phase.

    `parent` is the backup that an incremental one was taken against. A logical one has no LSNs and no WAL.
    """

    format: int
    id: str
    kind: Kind
    system_identifier: str
    postgres_version: str
    timeline: Timeline
    started_at: datetime
    finished_at: datetime
    from_node: str
    from_role: str
    objects: tuple[StoredObject, ...]
    segment_bytes: int
    outlive_version: str
    parent: str | None = None
    start_lsn: str | None = None
    end_lsn: str | None = None
    key_id: str | None = None
    database: str | None = None
    counts: tuple[DatabaseCounts, ...] = ()
    durations: dict[str, float] = {}
    notes: tuple[str, ...] = ()

    @property
    def start(self) -> Lsn | None:
        """Where recovery begins to read WAL."""
        return None if self.start_lsn is None else Lsn.parse(self.start_lsn)

    @property
    def end(self) -> Lsn | None:
        """Before which no recovery may stop."""
        return None if self.end_lsn is None else Lsn.parse(self.end_lsn)

    @property
    def stored_bytes(self) -> int:
        """What it takes up in the store."""
        return sum(each.size_bytes for each in self.objects)

    @property
    def raw_bytes(self) -> int:
        """What its objects hold."""
        return sum(each.raw_bytes for each in self.objects)

    def object_named(self, part: str) -> StoredObject | None:
        """Its object of this name: BASE, PG_MANIFEST or DUMP."""
        return next((each for each in self.objects if each.key.rsplit("/", 1)[-1] == part), None)


class _Sealed(msgspec.Struct, frozen=True):
    sha256: str
    manifest: msgspec.Raw


class _Version(msgspec.Struct):
    format: int


def encode(manifest: BackupManifest) -> bytes:
    """The manifest as it is stored."""
    body = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Sealed(hashlib.sha256(body).hexdigest(), msgspec.Raw(body)))


def decode(stored: bytes, key: str) -> BackupManifest:
    """The manifest that is stored under `key`.

    Raises:
        ChecksumMismatchError: it is not what was written.
        ConfigurationError: a later release wrote it.
    """
    try:
        sealed = msgspec.json.decode(stored, type=_Sealed)
        if hashlib.sha256(bytes(sealed.manifest)).hexdigest() != sealed.sha256:
            raise ChecksumMismatchError(f"{key} is not what was written: its hash is another")
        if msgspec.json.decode(sealed.manifest, type=_Version).format > FORMAT:
            raise ConfigurationError(
                f"{key} was written by a later release of Outlive", hint="Bring this one up to date."
            )
        return msgspec.json.decode(sealed.manifest, type=BackupManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ChecksumMismatchError(f"{key} is not what was written: {error}") from None

"""pgBackRest's command lines, and its report read back.

Source: pgBackRest command reference, "backup", "info", "restore"; its JSON is that of release 2.45.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, assert_never

from outlive.backup.engine import EngineBackup, Kind
from outlive.backup.plan.targets import BackupEnd, Latest, LsnTarget, NameTarget, Target, TimeTarget
from outlive.model.lsn import Lsn

_TYPES = {Kind.FULL: "full", Kind.INCREMENTAL: "incr"}


def backup_arguments(kind: Kind) -> list[str]:
    """What makes a backup. An incremental one without a full one before it becomes a full one, by pgBackRest's rule."""
    return [f"--type={_TYPES[kind]}", "backup"]


def restore_arguments(backup: str | None, target: Target, into: str) -> list[str]:
    """What puts a backup back; the server that is started there takes no further part in archiving."""
    chosen = [f"--set={backup}"] if backup is not None else []
    return [f"--pg1-path={into}", *chosen, *_target(target), "--archive-mode=off", "restore"]


def _target(target: Target) -> list[str]:
    match target:
        case TimeTarget(at):
            moment = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00"
            return ["--type=time", f"--target={moment}", "--target-action=promote"]
        case LsnTarget(lsn):
            return ["--type=lsn", f"--target={lsn}", "--target-action=promote"]
        case NameTarget(name):
            return ["--type=name", f"--target={name}", "--target-action=promote"]
        case Latest():
            return ["--type=default"]
        case BackupEnd():
            return ["--type=immediate", "--target-action=promote"]
        case _:
            assert_never(target)


def backups(stanzas: Sequence[Mapping[str, Any]], stanza: str) -> tuple[EngineBackup, ...]:
    """The sound backups of one stanza, the oldest first, out of `info --output=json`."""
    mine = [each for each in stanzas if each["name"] == stanza]
    databases = {database["id"]: database for each in mine for database in each.get("db", ())}
    found = [backup for each in mine for backup in each.get("backup", ()) if not backup.get("error")]
    return tuple(_backup(each, databases[each["database"]["id"]]) for each in found)


def missing(stanzas: Sequence[Mapping[str, Any]], stanza: str) -> str | None:
    """Why there is no such stanza, in pgBackRest's words; None if there is one."""
    status = next((each["status"] for each in stanzas if each["name"] == stanza), None)
    if status is None:
        return "it is not configured"
    # 2 says that the stanza is there and holds no backup yet.
    return None if status["code"] in (0, 2) else str(status["message"])


def start_of(backup_label: str) -> Lsn:
    """Where recovery starts, by the file that PostgreSQL reads: it tells which backup was put back."""
    words = backup_label.partition("START WAL LOCATION: ")[2].split()
    return Lsn.parse(words[0])


def _backup(backup: Mapping[str, Any], database: Mapping[str, Any]) -> EngineBackup:
    return EngineBackup(
        id=backup["label"],
        kind=Kind.FULL if backup["type"] == "full" else Kind.INCREMENTAL,
        parent=backup["prior"],
        started_at=datetime.fromtimestamp(backup["timestamp"]["start"], UTC),
        finished_at=datetime.fromtimestamp(backup["timestamp"]["stop"], UTC),
        start=Lsn.parse(backup["lsn"]["start"]),
        end=Lsn.parse(backup["lsn"]["stop"]),
        raw_bytes=backup["info"]["size"],
        stored_bytes=backup["info"]["repository"]["delta"],
        postgres_version=str(database["version"]),
        system_identifier=str(database["system-id"]),
    )

"""pgBackRest's command lines, and what is made of its report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from outlive.backup.engine import Kind
from outlive.backup.plan.pgbackrest import backup_arguments, backups, missing, restore_arguments, start_of
from outlive.backup.plan.targets import BackupEnd, Latest, LsnTarget, NameTarget, Target, TimeTarget
from outlive.model.lsn import Lsn


def reported(label: str, kind: str, *, prior: str | None = None, error: bool = False) -> dict[str, Any]:
    """A backup as `info --output=json` tells of it."""
    return {
        "label": label,
        "type": kind,
        "prior": prior,
        "error": error,
        "database": {"id": 1},
        "timestamp": {"start": 1795561776, "stop": 1795561779},
        "lsn": {"start": "0/2000028", "stop": "0/2000100"},
        "info": {"size": 23_213_842, "repository": {"delta": 3_075_927}},
    }


def stanza(*found: dict[str, Any], code: int = 0, name: str = "agents") -> dict[str, Any]:
    """A stanza as `info --output=json` tells of it."""
    database = {"id": 1, "version": "15", "system-id": 7711879096696347509}
    return {"name": name, "backup": list(found), "db": [database], "status": {"code": code, "message": f"code {code}"}}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (TimeTarget(datetime(2026, 11, 24, 22, 50, 0, 250_000, UTC)), "--target=2026-11-24 22:50:00.250000+00"),
        (LsnTarget(Lsn.parse("1/A0")), "--target=1/A0"),
        (NameTarget("before"), "--target=before"),
        (Latest(), "--type=default"),
        (BackupEnd(), "--type=immediate"),
    ],
)
def test_a_target_is_said_in_its_words_and_the_server_archives_nothing(target: Target, said: str) -> None:
    """Each kind of target has its arguments, and archiving is always off where a backup is put back."""
    arguments = restore_arguments("20261124-230936F", target, "/there")
    assert said in arguments
    assert {"--archive-mode=off", "--set=20261124-230936F", "--pg1-path=/there"} <= set(arguments)
    assert arguments[-1] == "restore"
    assert not any(argument.startswith("--set") for argument in restore_arguments(None, target, "/there"))


def test_a_backup_is_asked_for_by_its_kind() -> None:
    """An incremental backup is called incr there."""
    assert backup_arguments(Kind.INCREMENTAL) == ["--type=incr", "backup"]


def test_only_sound_backups_of_the_stanza_are_listed() -> None:
    """One that it found an error in is no backup, and another stanza's is not ours."""
    mine = stanza(reported("1F", "full"), reported("1F_2I", "incr", prior="1F"), reported("3F", "full", error=True))
    found = backups([stanza(reported("9F", "full"), name="other"), mine], "agents")
    assert [(each.id, each.kind, each.parent) for each in found] == [
        ("1F", Kind.FULL, None),
        ("1F_2I", Kind.INCREMENTAL, "1F"),
    ]
    assert (found[0].start, found[0].system_identifier) == (Lsn.parse("0/2000028"), "7711879096696347509")
    assert found[0].finished_at == datetime(2026, 11, 24, 23, 9, 39, tzinfo=UTC)


def test_a_stanza_that_is_not_there_is_told_from_an_empty_one() -> None:
    """No stanza and a broken one have a reason; one without a backup has none."""
    assert missing([], "agents") == "it is not configured"
    assert missing([stanza(code=1)], "agents") == "code 1"
    assert missing([stanza(code=2)], "agents") is None
    assert missing([stanza()], "agents") is None


def test_what_was_put_back_is_known_by_where_it_starts() -> None:
    """PostgreSQL's own file says it."""
    label = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000060\n"
    assert start_of(label) == Lsn.parse("0/2000028")

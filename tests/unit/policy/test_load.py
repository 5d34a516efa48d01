"""A policy file, and what it may not say."""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from outlive import policy
from outlive.errors import ConfigurationError
from outlive.model.durability import Durability

EXAMPLE = files("outlive.policy").joinpath("example.yaml").read_text("utf-8")
SMALLEST = """
backup_policy:
  full_backup: {schedule: "0 2 * * *", storage: "s3://backups/agents"}
"""


def refusal(text: str) -> str:
    """What is said of a policy that is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        policy.parse(text, "outlive.yaml")
    assert caught.value.hint
    return str(caught.value)


def test_the_example_is_read_as_it_says() -> None:
    """What `outlive policy example` prints is a policy, and each part has its value."""
    read = policy.parse(EXAMPLE)
    assert read.backup_policy.full_backup.retention_days == 30
    assert read.backup_policy.full_backup.backup_from is None
    assert read.backup_policy.full_backup.rate_limit_mib_s == 200
    assert read.backup_policy.wal_archiving.recovery_target_time == timedelta(days=14)
    assert read.durability == {"audit": Durability.CRITICAL}


def test_what_is_left_out_is_not_done() -> None:
    """The smallest policy takes full backups and archives; it tests nothing and promises nothing."""
    read = policy.parse(SMALLEST).backup_policy
    assert read.wal_archiving.enabled
    assert (read.incremental, read.logical, read.restore_testing, read.encryption) == (None, None, None, None)
    assert read.objectives.rpo_seconds is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("retention_days", "retention_day"), "line 5: backup_policy.full_backup.retention_day is unknown"),
        (("restore_testing:", "restore_tests:"), "'restore_testing'"),
        (('"0 6 * * 0"', '"0 6 * *"'), "line 16: backup_policy.restore_testing.schedule: '0 6 * *' is no cron"),
        (('"0 2 * * *"', '"0 0 31 2 *"'), "'0 0 31 2 *'"),
        (("14d", "14 days"), "'14 days' is no span of time"),
        (("14d", "0d"), "must be above zero"),
        (("retention_days: 30", "retention_days: 0"), "retention_days: Input should be greater than or equal to 1"),
        (("s3://backups", "ftp://backups"), "'ftp://backups/agents' is no place for backups"),
        (("audit: critical", "audit: important"), "durability.audit: Input should be 'critical' or 'regenerable'"),
        (("retention_count: 2", "retention_days: 2"), "line 6: retention_days is there twice"),
        (("storage: s3", "storage: [s3"), "is no YAML"),
        (("# from: standby ", "from: primery"), "full_backup.from: Input should be 'standby' or 'primary'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(change: tuple[str, str], said: str) -> None:
    """Each wrong word is told where it stands, before anything is done."""
    assert said in refusal(EXAMPLE.replace(*change, 1))


def test_a_misspelt_key_names_the_right_one() -> None:
    """Of a key that is unknown, the nearest known one is told, not what its absence leaves missing."""
    assert "Did you mean 'schedule'?" in refusal(EXAMPLE.replace('schedule: "0 6', 'shedule: "0 6', 1))


@pytest.mark.parametrize("text", ["", "[]", "just words", "backup_policy:"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    """An empty file, a list, a word and an empty policy are refused."""
    assert "outlive.yaml" in refusal(text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A policy that can't be read is an error that names the file."""
    with pytest.raises(ConfigurationError, match=r"absent\.yaml can't be read"):
        policy.load(tmp_path / "absent.yaml")

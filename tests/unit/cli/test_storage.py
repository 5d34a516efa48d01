"""Which store, options and key a command means."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from outlive.backup.layout import Kind
from outlive.backup.plan.source import Wanted
from outlive.cli.backup_acts import Said, of_policy
from outlive.cli.retention_acts import rules
from outlive.cli.storage import place
from outlive.cli.verify_acts import limit_s
from outlive.cli.wal_acts import Promises, promises
from outlive.errors import ConfigurationError

POLICY = """
backup_policy:
  full_backup:
    {schedule: "0 2 * * *", retention_days: 30, retention_count: 4, storage: "s3://from-the-policy/x", from: primary,
     rate_limit_mib_s: 50}
  wal_archiving: {recovery_target_time: 45d}
  restore_testing: {schedule: "0 6 * * 0", max_restore_time_minutes: 30}
  objectives: {rpo_seconds: 9, rto_minutes: 20}
  incremental: {schedule: "0 */4 * * *", from: standby}
  logical: {schedule: "0 3 * * *", retention_days: 90, database: agents, rate_limit_mib_s: 5}
  encryption: {key_file: policy.key}
  storage_options: options.json
"""


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy with the files that it names, and an environment that says nothing."""
    for name in ("OUTLIVE_STORAGE", "OUTLIVE_STORAGE_OPTIONS", "OUTLIVE_BACKUP_KEY", "OUTLIVE_BACKUP_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "policy.key").write_text("11" * 32)
    (tmp_path / "options.json").write_text('{"region": "eu-north-1"}')
    (tmp_path / "outlive.yaml").write_text(POLICY)
    return tmp_path / "outlive.yaml"


def test_the_policy_names_all_of_it(policy: Path) -> None:
    """Store, options and key, its files beside it."""
    found = place(None, None, None, policy.parent, policy)
    assert (found.url, found.options.region) == ("s3://from-the-policy/x", "eu-north-1")
    assert found.keyring is not None
    assert found.codec.key_id == found.keyring.writing.id


def test_what_is_said_goes_first(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option before the environment, both before the policy; its options and key are for its own store alone."""
    monkeypatch.setenv("OUTLIVE_STORAGE", "s3://from-the-environment")
    assert place(None, None, None, policy.parent, policy).url == "s3://from-the-environment"
    found = place("s3://said", None, None, policy.parent, policy)
    assert (found.url, found.options.region, found.keyring) == ("s3://said", None, None)


def test_no_store_is_told(policy: Path) -> None:
    """With the ways to name one."""
    with pytest.raises(ConfigurationError, match="no store for backups is named"):
        place(None, None, None, policy.parent)


def test_how_long_comes_from_the_policy_or_the_command(policy: Path) -> None:
    """Its window, where that is the longer one; what is said replaces the policy's rule; nothing said is refused."""
    said = rules(None, None, 24, policy)
    assert (said.days, said.count, said.logical_days) == (45, 4, 90)
    assert (rules(3, None, 24, policy).days, rules(3, None, 24, policy).count) == (3, None)
    for days, count in ((None, None), (-1.0, None)):
        with pytest.raises(ConfigurationError):
            rules(days, count, 24, None)


def test_how_a_backup_is_read_comes_from_the_policy(policy: Path) -> None:
    """Node, rate and database; of a kind that doesn't say, as full ones are."""
    assert of_policy(policy, Kind.FULL) == Said(Wanted.PRIMARY, 50)
    assert of_policy(policy, Kind.INCREMENTAL) == Said(Wanted.STANDBY, 50)
    assert of_policy(policy, Kind.LOGICAL) == Said(Wanted.PRIMARY, 5, "agents")
    assert of_policy(None, Kind.FULL) == Said()


def test_a_policy_that_encrypts_is_never_written_to_in_the_open(policy: Path) -> None:
    """Without a key nothing can be written; what needs no key can still be read."""
    policy.write_text(policy.read_text().replace("{key_file: policy.key}", "{}"))
    found = place(None, None, None, policy.parent, policy)
    with pytest.raises(ConfigurationError, match="the policy asks for encryption"):
        _ = found.codec
    assert place("s3://said", None, None, policy.parent, policy).codec.key_id is None


def test_objectives_come_from_the_policy(policy: Path) -> None:
    """The loss and the window for `wal status`, the shorter of two times for `verify`."""
    assert promises(policy) == Promises(9, timedelta(days=45))
    assert limit_s(policy) == 20 * 60
    assert (promises(None), limit_s(None)) == (Promises(), None)

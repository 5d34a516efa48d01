"""The archiver's configuration is what the archiver reads."""

from __future__ import annotations

import msgspec

from outlive.backup.archiver_files import ArchiverConfig
from outlive.cluster.plan.archive_command import render as render_command
from outlive.cluster.plan.archiver_config import render, unit
from outlive.cluster.spec import ArchiveSpec


def test_what_is_rendered_is_read() -> None:
    """Every field is one that the archiver knows, and its socket is the one that the archive command asks at."""
    archive = ArchiveSpec(url="s3://backups/prod", key_file="/etc/outlive/backup.key", objective_s=2.0)
    rendered = render(
        archive, node="n1", home="/var/lib/outlive", host="127.0.0.1", port=5432, user="replicator", password="R",
        data="/var/lib/outlive/data", state="/var/lib/outlive/state.json",
    )  # fmt: skip
    config = msgspec.convert(rendered, ArchiverConfig)
    assert (config.url, config.key_file, config.objective_s) == ("s3://backups/prod", "/etc/outlive/backup.key", 2.0)
    assert config.socket in render_command("python3", "client.py", "/var/lib/outlive")


def test_the_unit_runs_the_archiver_under_the_servers_account() -> None:
    """It is started again whenever it ends, and reads the configuration beside the data."""
    lines = unit("/opt/outlive/bin/python3", "/var/lib/outlive").splitlines()
    assert "User=postgres" in lines
    assert "Restart=always" in lines
    assert "ExecStart=/opt/outlive/bin/python3 -m outlive.backup.archiver /var/lib/outlive/archiver.json" in lines

"""What `outlive backup verify` and `outlive backup point` do and say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from outlive.backup import points
from outlive.backup.catalog import Point
from outlive.backup.observation import observe
from outlive.backup.plan.targets import parse_time
from outlive.backup.proving import ledger_file, restore_test
from outlive.backup.proving.evidence import VERIFIED, Evidence
from outlive.backup.proving.examination import Ledger
from outlive.backup.restoring.restore import granted
from outlive.cli.backup_acts import interruptible
from outlive.cli.restore_view import Teller
from outlive.cli.storage import Place
from outlive.errors import ConfigurationError
from outlive.policy.load import load
from outlive.postgres.access import Access

RANDOM = "random"
SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be tested, as it was asked for; see `restore_test.Trial`."""

    backup: str
    at: datetime | None
    limit_s: float | None
    ledger: Ledger | None
    scratch: Path | None
    postgres_bin: Path | None


def limit_s(policy: Path | None, max_minutes: float | None = None) -> float | None:
    """The seconds that a restore may take: as said, else the shorter of the policy's for a test and its objective.

    Raises:
        ConfigurationError: the policy can't be read.
    """
    if max_minutes is not None:
        return max_minutes * SECONDS
    if policy is None:
        return None
    said = load(policy).backup_policy
    testing, objective = said.restore_testing, said.objectives.rto_minutes
    minutes = [each for each in (testing.max_restore_time_minutes if testing else None, objective) if each is not None]
    return min(minutes) * SECONDS if minutes else None


def moment(text: str) -> datetime | None:
    """The instant to restore to; None where it is to be a random one.

    Raises:
        ConfigurationError: it is none, or doesn't say in which time zone.
    """
    return None if text == RANDOM else granted(parse_time(text)).at


def ledger(file: Path | None, query: str | None, database: str) -> Ledger | None:
    """What the restored server has to hold; None where nothing was said of it.

    Raises:
        ConfigurationError: only one half was said, or the file can't be read.
    """
    if file is None and query is None:
        return None
    if file is None or query is None:
        raise ConfigurationError("--ledger and --ledger-query belong together")
    return ledger_file.read(file, query, database)


async def verify(where: Place, wish: Wish) -> Evidence:
    """Restore it and look, and tell on stderr how far it is."""
    return await interruptible(_test(where, wish))


async def _test(where: Place, wish: Wish) -> Evidence:
    async with where.opened() as store:
        catalog, material = await observe(store, where.keyring)
        trial = restore_test.Trial(
            backup=catalog.find(wish.backup), at=wish.at, limit_s=wish.limit_s, ledger=wish.ledger,
            scratch=wish.scratch, postgres_bin=wish.postgres_bin,
        )  # fmt: skip
        return await restore_test.run(material, trial, Teller())


async def point(where: Place, reach: Access, name: str) -> Point:
    """Give this moment a name."""
    async with where.opened() as store:
        return await points.make(store, reach, name)


def verified(evidence: Evidence) -> bool:
    """Whether the backup is what it should be."""
    return evidence.status == VERIFIED


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """All of it."""
    return {**msgspec.to_builtins(evidence), "verified": verified(evidence)}


def evidence_text(evidence: Evidence) -> str:
    """One line."""
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in evidence.seconds.items() if name != "total")
    return (
        f"{evidence.status}: {evidence.backup} recovered to {evidence.recovered_to} ({evidence.target}) in "
        f"{evidence.seconds['total']:.1f} s ({seconds}); {evidence.rows:,} rows in {evidence.tables} tables, "
        f"{len(evidence.checks)} checks"
    )

"""Where recovery is to stop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from outlive.model.lsn import Lsn


class Impossible(Enum):
    """The ways in which a restore can't be had."""

    NO_BACKUP = "no-backup"
    BEFORE_THE_OLDEST = "before-the-oldest"
    IN_THE_FUTURE = "in-the-future"
    IN_A_GAP = "in-a-gap"
    ON_ANOTHER_TIMELINE = "on-another-timeline"
    CHAIN_BROKEN = "chain-broken"
    KEY_MISSING = "key-missing"
    UNKNOWN_NAME = "unknown-name"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Refusal:
    """It can't be restored: in which way, why, and what to do."""

    kind: Impossible
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class TimeTarget:
    """Every transaction that was committed at `at` or before, none after. `at` is aware."""

    at: datetime


@dataclass(frozen=True, slots=True)
class LsnTarget:
    """Every record that ends at `lsn` or before, none after."""

    lsn: Lsn


@dataclass(frozen=True, slots=True)
class NameTarget:
    """The restore point of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Latest:
    """As far as the archive goes."""


@dataclass(frozen=True, slots=True)
class BackupEnd:
    """The backup itself, as soon as it is consistent."""


Target = TimeTarget | LsnTarget | NameTarget | Latest | BackupEnd


def parse_time(text: str) -> TimeTarget | Refusal:
    """A moment in ISO 8601, which has to name its offset from UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return Refusal(Impossible.UNCLEAR, f"{text!r} is no moment", "Write it as 2026-11-24T22:50:00Z.")
    if at.tzinfo is None:
        return Refusal(
            Impossible.UNCLEAR,
            f"{text!r} does not say in which time zone",
            f"Write {text}Z for UTC, or {text}+02:00 for two hours east of it.",
        )
    return TimeTarget(at.astimezone(UTC))


def parse_lsn(text: str) -> LsnTarget | Refusal:
    """A position in PostgreSQL's form."""
    try:
        return LsnTarget(Lsn.parse(text))
    except ValueError:
        return Refusal(Impossible.UNCLEAR, f"{text!r} is no LSN", "Write it as 16/B374D848.")

"""What the stores give back: frozen pictures of what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

from outlive.stores.encoding import decode, decode_all

_from_timestamp = datetime.fromtimestamp


@dataclass(frozen=True, slots=True)
class Cost:
    """What a turn or a call took, in tokens and in US dollars."""

    tokens: int = 0
    dollars: Decimal = Decimal(0)


FREE = Cost()


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn to append. `id` is the caller's and makes the append idempotent; `content` is any value of JSON."""

    id: str
    role: str
    content: Any
    tokens: int = 0
    dollars: Decimal | float = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that is kept. `position` counts from 0 without holes; `created_at` is aware, by the database's clock."""

    id: str
    position: int
    role: str
    content: Any
    tokens: int
    dollars: Decimal
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state that is kept. `version` counts from 1; `turn_count` is how many turns there were."""

    version: int
    turn_count: int
    state: Any
    created_at: datetime


class CallStatus(Enum):
    """How far a tool call came."""

    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that is kept. `result` means something when it is finished, `error` when it failed."""

    key: str
    name: str
    arguments: Any
    arguments_hash: bytes
    status: CallStatus
    attempts: int
    result: Any
    error: str | None
    tokens: int
    dollars: Decimal


@dataclass(frozen=True, slots=True)
class Picture:
    """All of one conversation, as it was at one moment.

    `lease_token` is the fencing token of its last lease; `lease_until` None when nobody holds it.
    """

    id: str
    status: Literal["open", "complete"]
    metadata: Mapping[str, Any]
    turns: tuple[Turn, ...]
    checkpoint: Checkpoint | None
    tool_calls: tuple[ToolCall, ...]
    lease_token: int
    lease_until: datetime | None


def read_picture(row: Mapping[str, Any]) -> Picture:
    """A picture from the columns of `outlive.picture`."""
    return Picture(
        id=row["id"],
        status=row["status"],
        metadata=decode(row["metadata"]),
        turns=_turns(row),
        checkpoint=_checkpoint(row),
        tool_calls=_tool_calls(row),
        lease_token=row["lease_token"],
        lease_until=row["lease_until"],
    )


def _turns(row: Mapping[str, Any]) -> tuple[Turn, ...]:
    if row["turn_ids"] is None:
        return ()
    # Mapped, not looped over: a thousand turns are to be read within the time of a round trip.
    columns = (
        row["turn_ids"],
        row["turn_positions"],
        row["turn_roles"],
        decode_all(row["turn_contents"]),
        row["turn_tokens"],
        map(Decimal, row["turn_dollars"]),
        map(moment, row["turn_created_at_us"]),
    )
    return tuple(map(Turn, *columns))


def _checkpoint(row: Mapping[str, Any]) -> Checkpoint | None:
    if row["checkpoint_version"] is None:
        return None
    return Checkpoint(
        version=row["checkpoint_version"],
        turn_count=row["checkpoint_turn_count"],
        state=decode(row["checkpoint_state"]),
        created_at=row["checkpoint_created_at"],
    )


def _tool_calls(row: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    names = ("keys", "names", "arguments", "hashes", "statuses", "attempts", "results", "errors", "tokens", "dollars")
    return tuple(
        ToolCall(
            key,
            name,
            decode(arguments),
            arguments_hash,
            CallStatus(status),
            attempts,
            None if result is None else decode(result),
            error,
            tokens,
            Decimal(dollars),
        )
        for key, name, arguments, arguments_hash, status, attempts, result, error, tokens, dollars in _columns(
            row, "call_", names
        )
    )


def moment(microseconds: int) -> datetime:
    """The moment that is so many microseconds after the beginning of 1970."""
    return _from_timestamp(microseconds / 1e6, UTC)  # exact: a double has digits to spare until 2112


def _columns(row: Mapping[str, Any], prefix: str, names: tuple[str, ...]) -> zip[tuple[Any, ...]]:
    """The rows of parallel arrays; an aggregate over nothing is null."""
    return zip(*(row[prefix + name] or () for name in names), strict=True)

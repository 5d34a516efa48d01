"""What a checker is given: operations as the workers saw them, the state as the database has it, and the source.

Every `at` is a moment on one clock shared by all who write operations, in seconds. A digest is any text that two
values share only when they are equal byte for byte. A conversation is named by its id, a turn by its id within it,
a tool call by its key within it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class TurnAcknowledged:
    """The database said to a worker that this turn is kept: an append returned, or a reload showed it."""

    conversation: str
    turn: str
    position: int
    digest: str
    at: float


@dataclass(frozen=True, slots=True)
class ToolExecuted:
    """A tool began to act on the world outside; written before the act."""

    conversation: str
    key: str
    at: float


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """The database said to a worker that this call's result is kept."""

    conversation: str
    key: str
    digest: str
    at: float


@dataclass(frozen=True, slots=True)
class LlmPaid:
    """A model was asked, and so paid, for the answer that is to become `turn`."""

    conversation: str
    turn: str
    dollars: Decimal
    at: float


Operation = TurnAcknowledged | ToolExecuted | ToolFinished | LlmPaid


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn as it was read back."""

    turn: str
    position: int
    digest: str


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A finished tool call as it was read back."""

    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A conversation as it was read back from the primary; `turns` in the order of their positions."""

    conversation: str
    complete: bool
    turns: tuple[StoredTurn, ...]
    finished_calls: tuple[StoredCall, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceTurn:
    """A turn as it should be."""

    turn: str
    digest: str


@dataclass(frozen=True, slots=True)
class SourceConversation:
    """A conversation as it should be in the end."""

    conversation: str
    turns: tuple[SourceTurn, ...]

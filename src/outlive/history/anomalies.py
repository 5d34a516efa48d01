"""What can be wrong with a history; each anomaly prints as the sentence that proves it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class LostTurn:
    """A turn was acknowledged and is not there."""

    conversation: str
    turn: str
    position: int

    def __str__(self) -> str:
        return f"{self.conversation}: turn {self.turn} was acknowledged at position {self.position} and is not there"


@dataclass(frozen=True, slots=True)
class DuplicatedTurn:
    """The same turn is there more than once."""

    conversation: str
    turn: str
    positions: tuple[int, ...]

    def __str__(self) -> str:
        where = ", ".join(str(position) for position in self.positions)
        return f"{self.conversation}: turn {self.turn} is there {len(self.positions)} times, at positions {where}"


@dataclass(frozen=True, slots=True)
class MisplacedTurn:
    """A turn is at another position than the acknowledged one."""

    conversation: str
    turn: str
    acknowledged: int
    stored: int

    def __str__(self) -> str:
        return (
            f"{self.conversation}: turn {self.turn} was acknowledged at position {self.acknowledged}"
            f" and is at {self.stored}"
        )


@dataclass(frozen=True, slots=True)
class AlteredTurn:
    """A turn's content is not the acknowledged one."""

    conversation: str
    turn: str
    acknowledged: str
    stored: str

    def __str__(self) -> str:
        return (
            f"{self.conversation}: turn {self.turn} was acknowledged with content {self.acknowledged}"
            f" and holds {self.stored}"
        )


@dataclass(frozen=True, slots=True)
class UnexpectedTurn:
    """A turn is there that nobody wrote."""

    conversation: str
    turn: str
    position: int

    def __str__(self) -> str:
        return f"{self.conversation}: turn {self.turn} at position {self.position} has no origin"


@dataclass(frozen=True, slots=True)
class BrokenSequence:
    """The positions of a conversation are not 0, 1, 2 ... without a hole or a double."""

    conversation: str
    expected: int
    found: int

    def __str__(self) -> str:
        return f"{self.conversation}: where position {self.expected} should be there is position {self.found}"


@dataclass(frozen=True, slots=True)
class LostToolCall:
    """A tool call was acknowledged as finished and its result is not there."""

    conversation: str
    key: str

    def __str__(self) -> str:
        return f"{self.conversation}: tool call {self.key} was acknowledged as finished and its result is not there"


@dataclass(frozen=True, slots=True)
class AlteredToolCall:
    """A finished tool call holds another result than the acknowledged one."""

    conversation: str
    key: str
    acknowledged: str
    stored: str

    def __str__(self) -> str:
        return (
            f"{self.conversation}: tool call {self.key} finished with result {self.acknowledged}"
            f" and holds {self.stored}"
        )


@dataclass(frozen=True, slots=True)
class RepeatedToolCall:
    """A tool was executed again after its call had been acknowledged as finished."""

    conversation: str
    key: str
    finished_at: float
    executed_at: float

    def __str__(self) -> str:
        late_s = self.executed_at - self.finished_at
        return f"{self.conversation}: tool call {self.key} was executed again {late_s:.3f} s after it had finished"


@dataclass(frozen=True, slots=True)
class RepeatedPayment:
    """A model was paid again for a turn that had been acknowledged."""

    conversation: str
    turn: str
    dollars: Decimal
    acknowledged_at: float
    paid_at: float

    def __str__(self) -> str:
        late_s = self.paid_at - self.acknowledged_at
        return (
            f"{self.conversation}: turn {self.turn} was paid again (${self.dollars}) {late_s:.3f} s after it was kept"
        )


@dataclass(frozen=True, slots=True)
class IncompleteConversation:
    """A conversation did not come to its end; what is there is right so far."""

    conversation: str
    turns: int
    expected: int

    def __str__(self) -> str:
        return f"{self.conversation}: not complete, {self.turns} of {self.expected} turns"


@dataclass(frozen=True, slots=True)
class DivergedConversation:
    """A conversation is not its source."""

    conversation: str
    position: int
    expected: str | None
    stored: str | None

    def __str__(self) -> str:
        if self.stored == self.expected:
            return f"{self.conversation}: turn {self.stored} at position {self.position} is not what the source says"
        stored, expected = self.stored or "nothing", self.expected or "nothing"
        return f"{self.conversation}: at position {self.position} there is {stored}, the source has {expected}"


Anomaly = (
    LostTurn
    | DuplicatedTurn
    | MisplacedTurn
    | AlteredTurn
    | UnexpectedTurn
    | BrokenSequence
    | LostToolCall
    | AlteredToolCall
    | RepeatedToolCall
    | RepeatedPayment
    | IncompleteConversation
    | DivergedConversation
)

"""The checker: what was acknowledged, what the database holds, and whether the two agree. Pure; no I/O at all."""

from outlive.history.anomalies import (
    AlteredToolCall,
    AlteredTurn,
    Anomaly,
    BrokenSequence,
    DivergedConversation,
    DuplicatedTurn,
    IncompleteConversation,
    LostToolCall,
    LostTurn,
    MisplacedTurn,
    RepeatedPayment,
    RepeatedToolCall,
    UnexpectedTurn,
)
from outlive.history.check import check
from outlive.history.operations import (
    LlmPaid,
    Operation,
    SourceConversation,
    SourceTurn,
    StoredCall,
    StoredConversation,
    StoredTurn,
    ToolExecuted,
    ToolFinished,
    TurnAcknowledged,
)
from outlive.history.verdict import Verdict
from outlive.history.writes import WritesVerdict, check_writes

__all__ = [
    "AlteredToolCall",
    "AlteredTurn",
    "Anomaly",
    "BrokenSequence",
    "DivergedConversation",
    "DuplicatedTurn",
    "IncompleteConversation",
    "LlmPaid",
    "LostToolCall",
    "LostTurn",
    "MisplacedTurn",
    "Operation",
    "RepeatedPayment",
    "RepeatedToolCall",
    "SourceConversation",
    "SourceTurn",
    "StoredCall",
    "StoredConversation",
    "StoredTurn",
    "ToolExecuted",
    "ToolFinished",
    "TurnAcknowledged",
    "UnexpectedTurn",
    "Verdict",
    "WritesVerdict",
    "check",
    "check_writes",
]

"""The PostgreSQL that an AI agent can't lose its state in."""

from outlive.client.cluster import Cluster, connect
from outlive.client.transaction import Transaction
from outlive.errors import (
    CommitUnknownError,
    ConfigurationError,
    ConflictError,
    ControlPlaneError,
    DemotedError,
    DurabilityNotMetError,
    KeyReusedError,
    LeaseLostError,
    NoPrimaryError,
    NoStandbyError,
    NotFoundError,
    OutliveError,
    PoolTimeoutError,
    RetryBudgetExceededError,
    SplitBrainError,
    StateError,
    TransactionError,
    UnavailableError,
    VersionConflictError,
)
from outlive.model.durability import Durability, Receipt
from outlive.model.outcome import Outcome

__all__ = [
    "Cluster",
    "CommitUnknownError",
    "ConfigurationError",
    "ConflictError",
    "ControlPlaneError",
    "DemotedError",
    "Durability",
    "DurabilityNotMetError",
    "KeyReusedError",
    "LeaseLostError",
    "NoPrimaryError",
    "NoStandbyError",
    "NotFoundError",
    "Outcome",
    "OutliveError",
    "PoolTimeoutError",
    "Receipt",
    "RetryBudgetExceededError",
    "SplitBrainError",
    "StateError",
    "Transaction",
    "TransactionError",
    "UnavailableError",
    "VersionConflictError",
    "connect",
]

"""The PostgreSQL that an AI agent can't lose its state in."""

from outlive.client.claims import new_key
from outlive.client.cluster import Cluster, connect
from outlive.client.options import bounded
from outlive.client.transaction import Transaction
from outlive.errors import (
    CommitUnknownError,
    ConfigurationError,
    ConflictError,
    ControlPlaneError,
    DemotedError,
    DurabilityNotMetError,
    InterruptedCallError,
    KeyExpiredError,
    KeyReusedError,
    LeaseLostError,
    NoPrimaryError,
    NoStandbyError,
    NotFoundError,
    OutliveError,
    PoolTimeoutError,
    RetryBudgetExceededError,
    SchemaError,
    SplitBrainError,
    StateError,
    TransactionError,
    UnavailableError,
    UnstorableError,
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
    "InterruptedCallError",
    "KeyExpiredError",
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
    "SchemaError",
    "SplitBrainError",
    "StateError",
    "Transaction",
    "TransactionError",
    "UnavailableError",
    "UnstorableError",
    "VersionConflictError",
    "bounded",
    "connect",
    "new_key",
]

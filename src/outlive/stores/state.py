"""The door to everything that an agent keeps."""

from __future__ import annotations

from outlive.client.cluster import Cluster
from outlive.stores.app_sessions import AppSessions
from outlive.stores.conversations import Conversations
from outlive.stores.encoding import MAX_VALUE_BYTES
from outlive.stores.histories import Histories
from outlive.stores.shared import SharedConversations
from outlive.stores.statements import WRITE_TIMEOUT_S, Statements


class AgentState:
    """An agent's state over a connected cluster; the schema is made by `outlive migrate`.

    `max_value_bytes` bounds the JSON of one turn, state, result or argument list; `timeout_s` is how long a write
    is retried before it is given up.
    """

    def __init__(
        self, db: Cluster, *, max_value_bytes: int = MAX_VALUE_BYTES, timeout_s: float = WRITE_TIMEOUT_S
    ) -> None:
        self.conversations = Conversations(Statements(db, timeout_s), max_value_bytes)
        self.histories = Histories(Statements(db, timeout_s), max_value_bytes)
        self.shared = SharedConversations(Statements(db, timeout_s), max_value_bytes)
        self.app_sessions = AppSessions(Statements(db, timeout_s), max_value_bytes)

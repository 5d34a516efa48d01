"""The door to everything that an agent keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from outlive.client.cluster import Cluster
from outlive.stores import maintenance
from outlive.stores.agent_states import AgentStates, AgentVersion
from outlive.stores.app_sessions import AppSessions
from outlive.stores.audit import Audit
from outlive.stores.classes import Classes, StoreName, resolve_classes
from outlive.stores.context import Context
from outlive.stores.conversations import Conversations
from outlive.stores.encoding import MAX_VALUE_BYTES
from outlive.stores.events import Events
from outlive.stores.graphs import Graphs
from outlive.stores.histories import Histories
from outlive.stores.items import Items
from outlive.stores.llm_cache import CACHE_TIMEOUT_S, LlmCache
from outlive.stores.maintenance import AT_MOST_S, Keep, Maintenance
from outlive.stores.preferences import Preferences
from outlive.stores.shared import SharedConversations
from outlive.stores.statements import WRITE_TIMEOUT_S, Statements
from outlive.stores.tasks import Tasks
from outlive.telemetry.hooks import Hook, collect


class AgentState:
    """An agent's state over a connected cluster; the schema is made by `outlive migrate`.

    `classes` moves stores to another durability class than `DEFAULT_CLASSES` has: `{"audit": "critical"}`.
    `max_value_bytes` bounds the JSON of one turn, state, result or argument list; `timeout_s` is how long a write
    is retried before it is given up. `telemetry` is told what becomes of tasks: a callable, or several.

    Raises:
        ConfigurationError: `classes` names no store or no class that there is.
    """

    def __init__(
        self,
        db: Cluster,
        *,
        classes: Classes | None = None,
        max_value_bytes: int = MAX_VALUE_BYTES,
        timeout_s: float = WRITE_TIMEOUT_S,
        telemetry: Hook | Iterable[Hook] | None = None,
    ) -> None:
        self.db = db
        self.classes = resolve_classes(classes)

        def statements(store: StoreName, at_most_s: float = timeout_s) -> Statements:
            return Statements(db, min(timeout_s, at_most_s), self.classes[store])

        self.conversations = Conversations(statements("conversations"), max_value_bytes)
        self.histories = Histories(statements("histories"), max_value_bytes)
        self.shared = SharedConversations(statements("conversations"), max_value_bytes)
        self.app_sessions = AppSessions(statements("app_sessions"), max_value_bytes)
        self.events = Events(statements("events"), max_value_bytes)
        self.audit = Audit(statements("audit"), max_value_bytes)
        self.tasks = Tasks(replace(statements("tasks"), hooks=collect(telemetry)), max_value_bytes)
        self.context = Context(statements("context"), max_value_bytes)
        self.graphs = Graphs(statements("checkpoints"), max_value_bytes)
        self.preferences = Preferences(statements("preferences"), max_value_bytes)
        self.llm_cache = LlmCache(statements("llm_cache", CACHE_TIMEOUT_S))
        self.items = Items(statements("preferences"), max_value_bytes)
        self.checkpoints = AgentStates(statements("checkpoints"), max_value_bytes)

    async def save_agent_state(self, agent_id: str, state: Mapping[str, Any], expected_version: int) -> int:
        """Keep a new version of an agent's state; see `checkpoints.save`."""
        return await self.checkpoints.save(agent_id, state, expected_version)

    async def maintain(
        self, keep: Keep | None = None, *, at_most_s: float = AT_MOST_S, dry_run: bool = False
    ) -> Maintenance:
        """Remove what is old from every store, and make room for the days to come; to be called once a day.

        It goes in small transactions for up to `at_most_s` seconds. A step that fails or has no time left is told in
        `failed`, and the others are done: events, keys and the audit log take the role that migrated. `dry_run` counts
        what would go.

        Raises:
            ConfigurationError: an age or `at_most_s` makes no sense.
        """
        chosen = keep or Keep()
        if dry_run:
            return await maintenance.due(self, Statements(self.db), chosen)
        return await maintenance.maintain(self, chosen, at_most_s)

    async def load_agent_state(self, agent_id: str, version: int | None = None) -> AgentVersion | None:
        """The latest version of an agent's state, or that version; see `checkpoints.load`."""
        return await self.checkpoints.load(agent_id, version)

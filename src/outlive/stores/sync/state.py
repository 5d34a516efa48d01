"""The door to everything that an agent keeps, without asyncio."""

from __future__ import annotations

from collections.abc import Iterable

from outlive.stores.classes import Classes
from outlive.stores.encoding import MAX_VALUE_BYTES
from outlive.stores.migrate import MIGRATE_TIMEOUT_S, MigrationReport
from outlive.stores.migrate import migrate as migrate_on_loop
from outlive.stores.state import AgentState
from outlive.stores.statements import WRITE_TIMEOUT_S
from outlive.stores.sync.conversations import SyncConversations
from outlive.stores.sync.frameworks import (
    SyncAppSessions,
    SyncGraphs,
    SyncHistories,
    SyncItems,
    SyncSharedConversations,
)
from outlive.stores.sync.happenings import SyncAudit, SyncEvents
from outlive.stores.sync.knowledge import SyncAgentStates, SyncContext, SyncLlmCache, SyncPreferences
from outlive.stores.sync.tasks import SyncTasks
from outlive.sync import Face, Seen, SyncCluster, through
from outlive.telemetry.hooks import Hook


class SyncAgentState(Face[AgentState]):
    """`outlive.stores.AgentState` over a client of `outlive.sync`: the same stores, the same options.

    May be used by many threads at once. `telemetry` is called on the client's own thread.

    Raises:
        ConfigurationError: `classes` names no store or no class that there is.
    """

    def __init__(
        self,
        db: SyncCluster,
        *,
        classes: Classes | None = None,
        max_value_bytes: int = MAX_VALUE_BYTES,
        timeout_s: float = WRITE_TIMEOUT_S,
        telemetry: Hook | Iterable[Hook] | None = None,
    ) -> None:
        inner = AgentState(
            db.asynchronous, classes=classes, max_value_bytes=max_value_bytes, timeout_s=timeout_s, telemetry=telemetry
        )
        super().__init__(db.portal, inner)
        self.db = db
        self.conversations = SyncConversations(db.portal, inner.conversations)
        self.histories = SyncHistories(db.portal, inner.histories)
        self.shared = SyncSharedConversations(db.portal, inner.shared)
        self.app_sessions = SyncAppSessions(db.portal, inner.app_sessions)
        self.events = SyncEvents(db.portal, inner.events)
        self.audit = SyncAudit(db.portal, inner.audit)
        self.tasks = SyncTasks(db.portal, inner.tasks)
        self.context = SyncContext(db.portal, inner.context)
        self.graphs = SyncGraphs(db.portal, inner.graphs)
        self.preferences = SyncPreferences(db.portal, inner.preferences)
        self.llm_cache = SyncLlmCache(db.portal, inner.llm_cache)
        self.items = SyncItems(db.portal, inner.items)
        self.checkpoints = SyncAgentStates(db.portal, inner.checkpoints)

    classes = Seen(AgentState, lambda state: state.classes, "The durability class of each store.")

    save_agent_state = through(AgentState.save_agent_state)
    load_agent_state = through(AgentState.load_agent_state)
    maintain = through(AgentState.maintain)


def migrate(db: SyncCluster, *, timeout_s: float = MIGRATE_TIMEOUT_S) -> MigrationReport:
    """Apply the migrations that are missing; see `outlive.stores.migrate`.

    Raises:
        SchemaError: the schema is newer than this code, or was migrated with another text.
    """
    return db.portal.call(migrate_on_loop(db.asynchronous, timeout_s=timeout_s))

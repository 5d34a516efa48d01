"""Every store for programs without asyncio, over `outlive.sync`.

    with outlive.sync.connect(dsn) as db:
        state = SyncAgentState(db)
        with state.conversations.open("trip-7", worker="w1") as conversation:
            conversation.append("t1", "user", "Berlin, please")
            offers = conversation.tool_call("search", search_flights, "BER")

Each call runs the asynchronous one on the client's event loop and waits for it; nothing is decided here. What the
caller gives to be called, a tool or a model, runs in the calling thread.
"""

from outlive.stores.sync.conversations import SyncConversation, SyncConversations
from outlive.stores.sync.frameworks import (
    SyncAppSessions,
    SyncGraphs,
    SyncHistories,
    SyncItems,
    SyncSharedConversations,
)
from outlive.stores.sync.happenings import SyncAudit, SyncEventBuffer, SyncEvents
from outlive.stores.sync.knowledge import SyncAgentStates, SyncContext, SyncLlmCache, SyncPreferences
from outlive.stores.sync.state import SyncAgentState, migrate
from outlive.stores.sync.tasks import SyncClaimedTask, SyncTasks, SyncWorker

__all__ = [
    "SyncAgentState",
    "SyncAgentStates",
    "SyncAppSessions",
    "SyncAudit",
    "SyncClaimedTask",
    "SyncContext",
    "SyncConversation",
    "SyncConversations",
    "SyncEventBuffer",
    "SyncEvents",
    "SyncGraphs",
    "SyncHistories",
    "SyncItems",
    "SyncLlmCache",
    "SyncPreferences",
    "SyncSharedConversations",
    "SyncTasks",
    "SyncWorker",
    "migrate",
]

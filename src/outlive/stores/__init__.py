"""What an agent keeps: conversations with their turns, checkpoints and tool calls, and the tasks it has to do."""

from outlive.stores.audit import Audit, AuditPruning, AuditReport
from outlive.stores.claimed_task import ClaimedTask
from outlive.stores.classes import DEFAULT_CLASSES
from outlive.stores.context import Context, Document, Found, NewDocument
from outlive.stores.conversation import Conversation
from outlive.stores.conversations import Conversations
from outlive.stores.event_buffer import EventBuffer
from outlive.stores.events import Event, EventCount, EventMaintenance, Events
from outlive.stores.life import Erasure, Forgotten
from outlive.stores.listing import Page, Summary
from outlive.stores.llm_cache import Answer, LlmCache
from outlive.stores.maintenance import Keep, Maintenance
from outlive.stores.migrate import MigrationReport, migrate
from outlive.stores.plan.attempts import Backoff
from outlive.stores.plan.audit_chain import AuditDefect, AuditEntry, AuditHead, Flaw
from outlive.stores.plan.event_batches import BufferCounts, BufferLimits
from outlive.stores.preferences import Preference, Preferences
from outlive.stores.records import CallStatus, Checkpoint, Cost, NewTurn, Picture, ToolCall, Turn
from outlive.stores.state import AgentState
from outlive.stores.task_records import NewTask, QueueDepth, Task, TaskStatus
from outlive.stores.tasks import Tasks
from outlive.stores.transfer import ImportReport
from outlive.stores.worker import Worker

__all__ = [
    "DEFAULT_CLASSES",
    "AgentState",
    "Answer",
    "Audit",
    "AuditDefect",
    "AuditEntry",
    "AuditHead",
    "AuditPruning",
    "AuditReport",
    "Backoff",
    "BufferCounts",
    "BufferLimits",
    "CallStatus",
    "Checkpoint",
    "ClaimedTask",
    "Context",
    "Conversation",
    "Conversations",
    "Cost",
    "Document",
    "Erasure",
    "Event",
    "EventBuffer",
    "EventCount",
    "EventMaintenance",
    "Events",
    "Flaw",
    "Forgotten",
    "Found",
    "ImportReport",
    "Keep",
    "LlmCache",
    "Maintenance",
    "MigrationReport",
    "NewDocument",
    "NewTask",
    "NewTurn",
    "Page",
    "Picture",
    "Preference",
    "Preferences",
    "QueueDepth",
    "Summary",
    "Task",
    "TaskStatus",
    "Tasks",
    "ToolCall",
    "Turn",
    "Worker",
    "migrate",
]

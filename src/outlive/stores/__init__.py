"""What an agent keeps: conversations with their turns, checkpoints and tool calls."""

from outlive.stores.audit import Audit, AuditReport
from outlive.stores.classes import DEFAULT_CLASSES
from outlive.stores.conversation import Conversation
from outlive.stores.conversations import Conversations
from outlive.stores.event_buffer import EventBuffer
from outlive.stores.events import Event, EventCount, EventMaintenance, Events
from outlive.stores.listing import Page, Summary
from outlive.stores.migrate import MigrationReport, migrate
from outlive.stores.plan.audit_chain import AuditDefect, AuditEntry, AuditHead, Flaw
from outlive.stores.plan.event_batches import BufferCounts, BufferLimits
from outlive.stores.records import CallStatus, Checkpoint, Cost, NewTurn, Picture, ToolCall, Turn
from outlive.stores.state import AgentState

__all__ = [
    "DEFAULT_CLASSES",
    "AgentState",
    "Audit",
    "AuditDefect",
    "AuditEntry",
    "AuditHead",
    "AuditReport",
    "BufferCounts",
    "BufferLimits",
    "CallStatus",
    "Checkpoint",
    "Conversation",
    "Conversations",
    "Cost",
    "Event",
    "EventBuffer",
    "EventCount",
    "EventMaintenance",
    "Events",
    "Flaw",
    "MigrationReport",
    "NewTurn",
    "Page",
    "Picture",
    "Summary",
    "ToolCall",
    "Turn",
    "migrate",
]

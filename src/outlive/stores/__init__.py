"""What an agent keeps: conversations with their turns, checkpoints and tool calls."""

from outlive.stores.classes import DEFAULT_CLASSES
from outlive.stores.conversation import Conversation
from outlive.stores.conversations import Conversations
from outlive.stores.listing import Page, Summary
from outlive.stores.migrate import MigrationReport, migrate
from outlive.stores.records import CallStatus, Checkpoint, Cost, NewTurn, Picture, ToolCall, Turn
from outlive.stores.state import AgentState

__all__ = [
    "DEFAULT_CLASSES",
    "AgentState",
    "CallStatus",
    "Checkpoint",
    "Conversation",
    "Conversations",
    "Cost",
    "MigrationReport",
    "NewTurn",
    "Page",
    "Picture",
    "Summary",
    "ToolCall",
    "Turn",
    "migrate",
]

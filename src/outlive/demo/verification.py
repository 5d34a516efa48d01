"""Holding the database against the ledger and the transcripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from outlive.demo.plan.script import Script, content_digest
from outlive.errors import NotFoundError
from outlive.history import Operation, StoredCall, StoredConversation, StoredTurn, Verdict, check
from outlive.stores import AgentState, CallStatus, Picture


async def verify(state: AgentState, operations: Iterable[Operation], scripts: Sequence[Script]) -> Verdict:
    """Read every conversation from the primary, and check it."""
    stored = [await _read(state, script.conversation) for script in scripts]
    return check(operations, [each for each in stored if each is not None], [script.source() for script in scripts])


async def _read(state: AgentState, conversation: str) -> StoredConversation | None:
    try:
        return as_stored(await state.conversations.load(conversation))
    except NotFoundError:
        return None


def as_stored(picture: Picture) -> StoredConversation:
    """A conversation of the store in the checker's words."""
    return StoredConversation(
        conversation=picture.id,
        complete=picture.status == "complete",
        turns=tuple(StoredTurn(turn.id, turn.position, content_digest(turn.content)) for turn in picture.turns),
        finished_calls=tuple(
            StoredCall(call.key, content_digest(call.result))
            for call in picture.tool_calls
            if call.status is CallStatus.FINISHED
        ),
    )

"""A finished tool call is never executed again, a kept answer never paid again, and what was paid is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from outlive.history.anomalies import AlteredToolCall, Anomaly, LostToolCall, RepeatedPayment, RepeatedToolCall
from outlive.history.operations import LlmPaid, StoredConversation, ToolExecuted, ToolFinished, TurnAcknowledged


def check_calls(
    executed: Sequence[ToolExecuted], finished: Sequence[ToolFinished], stored: StoredConversation
) -> Iterator[Anomaly]:
    """Everything that is wrong with the tool calls of one conversation."""
    yield from _finished_calls(finished, stored)
    ends = _first_finish(finished)
    for run in executed:
        end = ends.get(run.key)
        if end is not None and run.at > end:
            yield RepeatedToolCall(stored.conversation, run.key, end, run.at)


def count_reruns(executed: Sequence[ToolExecuted], finished: Sequence[ToolFinished]) -> int:
    """Executions beyond the first of each call, up to the moment when it was acknowledged as finished."""
    ends = _first_finish(finished)
    runs = Counter(run.key for run in executed if run.key not in ends or run.at <= ends[run.key])
    return sum(count - 1 for count in runs.values())


def check_payments(
    paid: Sequence[LlmPaid], acknowledged: Sequence[TurnAcknowledged], conversation: str
) -> Iterator[Anomaly]:
    """Payments for turns of one conversation that had been acknowledged before."""
    kept: dict[str, float] = {}
    for ack in acknowledged:
        kept[ack.turn] = min(ack.at, kept.get(ack.turn, ack.at))
    for payment in paid:
        kept_at = kept.get(payment.turn)
        if kept_at is not None and payment.at > kept_at:
            yield RepeatedPayment(conversation, payment.turn, payment.dollars, kept_at, payment.at)


@dataclass(frozen=True, slots=True)
class Cost:
    """What models were paid, and the part of it whose answers were kept nowhere."""

    paid_usd: Decimal
    lost_usd: Decimal


def cost_of(paid: Sequence[LlmPaid], stored: StoredConversation) -> Cost:
    """Add up one conversation's payments; each stored turn is worth one of them, the last."""
    total = sum((payment.dollars for payment in paid), Decimal(0))
    last = {payment.turn: payment.dollars for payment in sorted(paid, key=lambda payment: payment.at)}
    kept = {turn.turn for turn in stored.turns}
    worth = sum((dollars for turn, dollars in last.items() if turn in kept), Decimal(0))
    return Cost(total, total - worth)


def _finished_calls(finished: Sequence[ToolFinished], stored: StoredConversation) -> Iterator[Anomaly]:
    results = {call.key: call.digest for call in stored.finished_calls}
    for key, digest in {(end.key, end.digest): None for end in finished}:
        found = results.get(key)
        if found is None:
            yield LostToolCall(stored.conversation, key)
        elif found != digest:
            yield AlteredToolCall(stored.conversation, key, digest, found)


def _first_finish(finished: Sequence[ToolFinished]) -> dict[str, float]:
    ends: dict[str, float] = {}
    for end in finished:
        ends[end.key] = min(end.at, ends.get(end.key, end.at))
    return ends

"""The whole check.

Three accounts of the same work are compared, conversation by conversation:

* the ledger: what the workers were told, written down outside the database at the moment they were told;
* the store: what the primary holds in the end;
* the source: what the conversations should have become.

An acknowledged write must be in the store exactly once, unaltered and at its position. A write that was never
acknowledged may be there or not: its worker died, or lost its connection, before it heard. That is why the ledger
alone can't say what must be in the store, and the source alone can't say what may be missing.

Source: Jepsen's set and register checkers, which hold acknowledged, unacknowledged and read elements against
each other in the same way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar, assert_never

from outlive.history.anomalies import Anomaly, DivergedConversation, IncompleteConversation
from outlive.history.calls import check_calls, check_payments, cost_of, count_reruns
from outlive.history.operations import (
    LlmPaid,
    Operation,
    SourceConversation,
    StoredConversation,
    ToolExecuted,
    ToolFinished,
    TurnAcknowledged,
)
from outlive.history.turns import check_turns
from outlive.history.verdict import Verdict

_T = TypeVar("_T")


def check(
    operations: Iterable[Operation], stored: Iterable[StoredConversation], sources: Iterable[SourceConversation]
) -> Verdict:
    """Hold the ledger, the store and the sources against each other.

    A conversation that is missing in the store or in the sources counts as one without turns there.

    Raises:
        ValueError: the store or the sources name a conversation twice.
    """
    logs = _by_conversation(operations)
    stores = _unique((each.conversation, each) for each in stored)
    origins = _unique((each.conversation, each) for each in sources)
    names = sorted({*logs, *stores, *origins})
    return _add_up(
        [
            _Account(
                logs.get(name, _Log()),
                stores.get(name, StoredConversation(name, complete=False, turns=())),
                origins.get(name, SourceConversation(name, ())),
            )
            for name in names
        ]
    )


@dataclass(slots=True)
class _Log:
    acknowledged: list[TurnAcknowledged] = field(default_factory=list)
    executed: list[ToolExecuted] = field(default_factory=list)
    finished: list[ToolFinished] = field(default_factory=list)
    paid: list[LlmPaid] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Account:
    """The three accounts of one conversation."""

    log: _Log
    stored: StoredConversation
    source: SourceConversation

    def anomalies(self) -> Iterator[Anomaly]:
        yield from check_turns(self.log.acknowledged, self.stored, self.source)
        yield from check_calls(self.log.executed, self.log.finished, self.stored)
        yield from check_payments(self.log.paid, self.log.acknowledged, self.stored.conversation)


def _by_conversation(operations: Iterable[Operation]) -> dict[str, _Log]:
    logs: defaultdict[str, _Log] = defaultdict(_Log)
    for operation in operations:
        log = logs[operation.conversation]
        match operation:
            case TurnAcknowledged():
                log.acknowledged.append(operation)
            case ToolExecuted():
                log.executed.append(operation)
            case ToolFinished():
                log.finished.append(operation)
            case LlmPaid():
                log.paid.append(operation)
            case _:
                assert_never(operation)
    return dict(logs)


def _unique(pairs: Iterable[tuple[str, _T]]) -> dict[str, _T]:
    found: dict[str, _T] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the conversation {name!r} is given twice")
        found[name] = value
    return found


def _add_up(accounts: list[_Account]) -> Verdict:
    anomalies = [list(account.anomalies()) for account in accounts]
    costs = [cost_of(account.log.paid, account.stored) for account in accounts]
    return Verdict(
        acknowledged=sum(len({ack.turn for ack in account.log.acknowledged}) for account in accounts),
        tool_calls=sum(len({end.key for end in account.log.finished}) for account in accounts),
        tool_calls_rerun=sum(count_reruns(account.log.executed, account.log.finished) for account in accounts),
        conversations=len(accounts),
        conversations_complete=sum(not _unfinished(found) for found in anomalies),
        llm_cost_usd=sum((cost.paid_usd for cost in costs), Decimal(0)),
        llm_cost_lost_usd=sum((cost.lost_usd for cost in costs), Decimal(0)),
        anomalies=tuple(anomaly for found in anomalies for anomaly in found),
    )


def _unfinished(anomalies: list[Anomaly]) -> bool:
    return any(isinstance(anomaly, IncompleteConversation | DivergedConversation) for anomaly in anomalies)

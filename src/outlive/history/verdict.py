"""The checker's answer."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from outlive.history.anomalies import Anomaly, DuplicatedTurn, LostToolCall, LostTurn, RepeatedPayment, RepeatedToolCall


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a history amounts to, and everything that is wrong with it.

    `acknowledged` counts distinct turns, `tool_calls` distinct calls acknowledged as finished. `tool_calls_rerun`
    counts executions beyond the first of calls that had *not* been acknowledged as finished: they were interrupted
    and had declared that they may run again. `llm_cost_usd` is all that models were paid, `llm_cost_lost_usd` the
    part of it whose answers are in no stored turn: the work of a process that died before its commit.
    """

    acknowledged: int
    tool_calls: int
    tool_calls_rerun: int
    conversations: int
    conversations_complete: int
    llm_cost_usd: Decimal
    llm_cost_lost_usd: Decimal
    anomalies: tuple[Anomaly, ...]

    @property
    def ok(self) -> bool:
        """Whether every promise held. A history in which nothing was acknowledged proves nothing."""
        return self.acknowledged > 0 and 0 < self.conversations == self.conversations_complete and not self.anomalies

    @property
    def lost(self) -> int:
        """Acknowledged turns and finished tool calls that are not there."""
        return self._count(LostTurn, LostToolCall)

    @property
    def duplicated(self) -> int:
        """Turns that are there more than once."""
        return self._count(DuplicatedTurn)

    @property
    def tool_calls_repeated(self) -> int:
        """Executions of tool calls that had been acknowledged as finished."""
        return self._count(RepeatedToolCall)

    @property
    def payments_repeated(self) -> int:
        """Payments for turns that had been acknowledged."""
        return self._count(RepeatedPayment)

    def _count(self, *kinds: type[Anomaly]) -> int:
        return sum(isinstance(anomaly, kinds) for anomaly in self.anomalies)

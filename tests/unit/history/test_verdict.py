"""The checker on the cases that a property does not say plainly."""

from __future__ import annotations

from decimal import Decimal

import pytest

from outlive.history import (
    AlteredToolCall,
    DivergedConversation,
    LlmPaid,
    Operation,
    SourceConversation,
    SourceTurn,
    StoredCall,
    StoredConversation,
    StoredTurn,
    ToolExecuted,
    ToolFinished,
    TurnAcknowledged,
    UnexpectedTurn,
    check,
)

SOURCE = SourceConversation("c", (SourceTurn("t0", "hello"), SourceTurn("t1", "bye")))
STORED = StoredConversation("c", complete=True, turns=(StoredTurn("t0", 0, "hello"), StoredTurn("t1", 1, "bye")))
HEARD = TurnAcknowledged("c", "t0", 0, "hello", 1.0)


def test_nothing_at_all_is_not_ok() -> None:
    """Zero conversations prove nothing."""
    verdict = check([], [], [])
    assert verdict.anomalies == ()
    assert not verdict.ok


def test_an_empty_ledger_is_not_ok() -> None:
    """Right conversations of which nobody heard prove nothing about acknowledged writes."""
    verdict = check([], [STORED], [SOURCE])
    assert verdict.anomalies == ()
    assert verdict.conversations_complete == 1
    assert not verdict.ok


def test_a_turn_out_of_nowhere_is_found() -> None:
    """A turn that neither the ledger nor the source knows has no origin."""
    turns = (*STORED.turns, StoredTurn("t9", 2, "boo"))
    verdict = check([HEARD], [StoredConversation("c", complete=True, turns=turns)], [SOURCE])
    assert UnexpectedTurn("c", "t9", 2) in verdict.anomalies
    assert DivergedConversation("c", 2, None, "t9") in verdict.anomalies


def test_another_result_of_a_finished_call_is_found() -> None:
    """The stored result is the acknowledged one."""
    stored = StoredConversation("c", complete=True, turns=STORED.turns, finished_calls=(StoredCall("k", "41"),))
    verdict = check([HEARD, ToolFinished("c", "k", "42", 2.0)], [stored], [SOURCE])
    assert verdict.anomalies == (AlteredToolCall("c", "k", "42", "41"),)


def test_a_rerun_of_an_interrupted_call_is_counted_and_no_anomaly() -> None:
    """Two executions before the end: one was interrupted; the declaration allows it, the report shows it."""
    stored = StoredConversation("c", complete=True, turns=STORED.turns, finished_calls=(StoredCall("k", "42"),))
    runs: list[Operation] = [
        ToolExecuted("c", "k", 1.0),
        ToolExecuted("c", "k", 2.0),
        ToolFinished("c", "k", "42", 3.0),
    ]
    verdict = check([HEARD, *runs], [stored], [SOURCE])
    assert verdict.ok
    assert verdict.tool_calls_rerun == 1
    assert verdict.tool_calls == 1


def test_the_answer_of_a_killed_worker_is_lost_money_and_no_anomaly() -> None:
    """Paid, killed before the commit, paid again: the first payment is lost, and nothing acknowledged is."""
    paid = [LlmPaid("c", "t1", Decimal("0.20"), 1.0), LlmPaid("c", "t1", Decimal("0.21"), 2.0)]
    verdict = check([HEARD, *paid], [STORED], [SOURCE])
    assert verdict.ok
    assert verdict.llm_cost_usd == Decimal("0.41")
    assert verdict.llm_cost_lost_usd == Decimal("0.20")


def test_a_conversation_given_twice_is_refused() -> None:
    """Two accounts of one conversation can't be held against each other."""
    with pytest.raises(ValueError, match="'c' is given twice"):
        check([], [STORED, STORED], [])


def test_every_anomaly_reads_as_a_sentence() -> None:
    """The proof names the conversation and what was expected."""
    verdict = check([HEARD], [StoredConversation("c", complete=True, turns=())], [SOURCE])
    assert "c: turn t0 was acknowledged at position 0 and is not there" in map(str, verdict.anomalies)

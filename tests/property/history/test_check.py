"""A faithful history is clean; each kind of defect is always found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from outlive.history import (
    AlteredTurn,
    BrokenSequence,
    DuplicatedTurn,
    IncompleteConversation,
    LlmPaid,
    LostToolCall,
    LostTurn,
    MisplacedTurn,
    Operation,
    RepeatedPayment,
    RepeatedToolCall,
    SourceConversation,
    SourceTurn,
    StoredCall,
    StoredConversation,
    StoredTurn,
    ToolExecuted,
    ToolFinished,
    TurnAcknowledged,
    Verdict,
    check,
)

# Few contents on purpose: real conversations say "yes" twice, and that is no duplicate.
CONTENTS = st.sampled_from(["yes", "no", "thanks"])
PRICE = Decimal("0.01")


@dataclass(frozen=True)
class History:
    operations: tuple[Operation, ...]
    stored: tuple[StoredConversation, ...]
    sources: tuple[SourceConversation, ...]

    def verdict(self) -> Verdict:
        return check(self.operations, self.stored, self.sources)

    def restored(self, index: int, **changes: object) -> History:
        changed = replace(self.stored[index], **changes)  # type: ignore[arg-type]
        return replace(self, stored=(*self.stored[:index], changed, *self.stored[index + 1 :]))

    def and_then(self, operation: Operation) -> History:
        return replace(self, operations=(*self.operations, operation))


@dataclass(frozen=True)
class Life:
    """How one turn came to be: its payments and executions, and how often its worker was told that it is kept."""

    content: str
    payments: int
    executions: int
    acknowledgements: int


LIVES = st.builds(Life, CONTENTS, st.integers(0, 3), st.integers(0, 3), st.integers(0, 2))


@st.composite
def faithful(draw: st.DrawFn) -> History:
    """Conversations lived through with interruptions, all complete, at least the first turn acknowledged."""
    lives = draw(st.lists(st.lists(LIVES, min_size=2, max_size=6), min_size=1, max_size=3))
    lives[0][0] = replace(lives[0][0], acknowledgements=1)
    operations: list[Operation] = []
    clock = iter(range(10_000))
    for number, conversation in enumerate(lives):
        for position, life in enumerate(conversation):
            operations += _live(f"c{number}", position, life, clock.__next__)
    return History(
        tuple(draw(st.permutations(operations))),
        tuple(_stored(f"c{number}", conversation) for number, conversation in enumerate(lives)),
        tuple(_source(f"c{number}", conversation) for number, conversation in enumerate(lives)),
    )


def _live(name: str, position: int, life: Life, tick: Callable[[], int]) -> list[Operation]:
    turn = f"t{position}"
    done: list[Operation] = [LlmPaid(name, turn, PRICE, tick()) for _ in range(life.payments)]
    done += [ToolExecuted(name, f"k{position}", tick()) for _ in range(life.executions)]
    if life.executions:
        done.append(ToolFinished(name, f"k{position}", life.content, tick()))
    done += [TurnAcknowledged(name, turn, position, life.content, tick()) for _ in range(life.acknowledgements)]
    return done


def _stored(name: str, lives: list[Life]) -> StoredConversation:
    turns = tuple(StoredTurn(f"t{position}", position, life.content) for position, life in enumerate(lives))
    calls = tuple(StoredCall(f"k{position}", life.content) for position, life in enumerate(lives) if life.executions)
    return StoredConversation(name, complete=True, turns=turns, finished_calls=calls)


def _source(name: str, lives: list[Life]) -> SourceConversation:
    return SourceConversation(name, tuple(SourceTurn(f"t{n}", life.content) for n, life in enumerate(lives)))


def _acknowledged(history: History, draw: st.DataObject) -> tuple[int, TurnAcknowledged]:
    """An acknowledged turn to break, and the index of its conversation in the store."""
    acks = [operation for operation in history.operations if isinstance(operation, TurnAcknowledged)]
    ack = draw.draw(st.sampled_from(acks))
    return int(ack.conversation[1:]), ack


@given(faithful())
def test_a_faithful_history_is_clean(history: History) -> None:
    """Interruptions, reruns, reloads and unheard acknowledgements are no anomaly."""
    verdict = history.verdict()
    assert verdict.anomalies == ()
    assert verdict.ok


@given(faithful())
def test_every_dollar_is_accounted_for(history: History) -> None:
    """What was paid is either worth a stored turn or lost; one payment a turn is worth it."""
    verdict = history.verdict()
    payments = [operation for operation in history.operations if isinstance(operation, LlmPaid)]
    kept = {(payment.conversation, payment.turn) for payment in payments}
    assert verdict.llm_cost_usd == PRICE * len(payments)
    assert verdict.llm_cost_lost_usd == PRICE * (len(payments) - len(kept))


@given(faithful(), st.data(), st.booleans())
def test_a_dropped_turn_is_lost(history: History, data: st.DataObject, close_the_gap: bool) -> None:
    """An acknowledged turn that is gone is found, whether or not the later ones moved up."""
    index, ack = _acknowledged(history, data)
    turns = [turn for turn in history.stored[index].turns if turn.turn != ack.turn]
    if close_the_gap:
        turns = [replace(turn, position=position) for position, turn in enumerate(turns)]
    verdict = history.restored(index, turns=tuple(turns)).verdict()
    assert LostTurn(ack.conversation, ack.turn, ack.position) in verdict.anomalies
    assert verdict.lost == 1
    assert not verdict.ok


@given(faithful(), st.data(), st.booleans(), st.booleans())
def test_a_doubled_turn_is_a_duplicate(history: History, data: st.DataObject, same_id: bool, at_end: bool) -> None:
    """A copy is found under the same id or a new one, beside its original or at the end."""
    index, ack = _acknowledged(history, data)
    turns = list(history.stored[index].turns)
    copy = replace(turns[ack.position], turn=ack.turn if same_id else "copy")
    turns.insert(len(turns) if at_end else ack.position + 1, copy)
    turns = [replace(turn, position=position) for position, turn in enumerate(turns)]
    verdict = history.restored(index, turns=tuple(turns)).verdict()
    assert verdict.duplicated == 1
    assert any(isinstance(found, DuplicatedTurn) for found in verdict.anomalies)
    assert not verdict.ok


@given(faithful(), st.data())
def test_two_swapped_turns_are_out_of_order(history: History, data: st.DataObject) -> None:
    """Two turns that changed places are found even when their contents are equal."""
    index, ack = _acknowledged(history, data)
    turns = list(history.stored[index].turns)
    other = data.draw(st.sampled_from([position for position in range(len(turns)) if position != ack.position]))
    mine, theirs = turns[ack.position], turns[other]
    turns[ack.position], turns[other] = replace(theirs, position=ack.position), replace(mine, position=other)
    verdict = history.restored(index, turns=tuple(turns)).verdict()
    assert MisplacedTurn(ack.conversation, ack.turn, ack.position, other) in verdict.anomalies
    assert not verdict.ok


@given(faithful(), st.data())
def test_an_altered_turn_is_found(history: History, data: st.DataObject) -> None:
    """One acknowledged turn with other content is named with both contents."""
    index, ack = _acknowledged(history, data)
    turns = [replace(turn, digest="other") if turn.turn == ack.turn else turn for turn in history.stored[index].turns]
    verdict = history.restored(index, turns=tuple(turns)).verdict()
    assert AlteredTurn(ack.conversation, ack.turn, ack.digest, "other") in verdict.anomalies
    assert not verdict.ok


@given(faithful(), st.data())
def test_a_tool_run_again_after_its_end_is_found(history: History, data: st.DataObject) -> None:
    """An execution after the call was acknowledged as finished is found, whoever did it."""
    ends = [operation for operation in history.operations if isinstance(operation, ToolFinished)]
    if not ends:
        return
    end = data.draw(st.sampled_from(ends))
    late = ToolExecuted(end.conversation, end.key, end.at + 0.5)
    verdict = history.and_then(late).verdict()
    assert RepeatedToolCall(end.conversation, end.key, end.at, late.at) in verdict.anomalies
    assert verdict.tool_calls_repeated == 1
    assert not verdict.ok


@given(faithful(), st.data())
def test_a_forgotten_tool_result_is_found(history: History, data: st.DataObject) -> None:
    """A finished call without its stored result is lost work."""
    ends = [operation for operation in history.operations if isinstance(operation, ToolFinished)]
    if not ends:
        return
    end = data.draw(st.sampled_from(ends))
    index = int(end.conversation[1:])
    kept = tuple(call for call in history.stored[index].finished_calls if call.key != end.key)
    verdict = history.restored(index, finished_calls=kept).verdict()
    assert LostToolCall(end.conversation, end.key) in verdict.anomalies
    assert verdict.lost == 1
    assert not verdict.ok


@given(faithful(), st.data())
def test_a_turn_paid_again_after_it_was_kept_is_found(history: History, data: st.DataObject) -> None:
    """Paying for an answer that the database has is an anomaly, not a lost dollar alone."""
    _, ack = _acknowledged(history, data)
    verdict = history.and_then(LlmPaid(ack.conversation, ack.turn, PRICE, ack.at + 10_000)).verdict()
    assert any(isinstance(found, RepeatedPayment) for found in verdict.anomalies)
    assert verdict.payments_repeated == 1
    assert not verdict.ok


@given(faithful(), st.data())
def test_a_hole_in_the_positions_is_found(history: History, data: st.DataObject) -> None:
    """Positions are 0, 1, 2 ... even where nobody was told of them."""
    index = data.draw(st.integers(0, len(history.stored) - 1))
    turns = history.stored[index].turns
    start = data.draw(st.integers(0, len(turns) - 1))
    shifted = tuple(replace(turn, position=turn.position + (turn.position >= start)) for turn in turns)
    verdict = history.restored(index, turns=shifted).verdict()
    assert BrokenSequence(history.stored[index].conversation, start, start + 1) in verdict.anomalies
    assert not verdict.ok


@given(faithful(), st.data())
def test_an_unfinished_conversation_is_never_ok(history: History, data: st.DataObject) -> None:
    """A conversation that is right so far and not at its end keeps the verdict from being ok."""
    index = data.draw(st.integers(0, len(history.stored) - 1))
    verdict = history.restored(index, complete=False).verdict()
    expected = len(history.sources[index].turns)
    assert IncompleteConversation(f"c{index}", expected, expected) in verdict.anomalies
    assert verdict.conversations_complete == verdict.conversations - 1
    assert not verdict.ok


@given(faithful())
def test_a_conversation_missing_from_the_store_is_never_ok(history: History) -> None:
    """An empty answer of the database is not a clean one."""
    verdict = replace(history, stored=history.stored[1:]).verdict()
    assert verdict.conversations == len(history.sources)
    assert not verdict.ok

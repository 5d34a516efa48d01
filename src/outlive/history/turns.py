"""Each acknowledged turn is there exactly once, unaltered, at its position; each conversation is its source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from outlive.history.anomalies import (
    AlteredTurn,
    Anomaly,
    BrokenSequence,
    DivergedConversation,
    DuplicatedTurn,
    IncompleteConversation,
    LostTurn,
    MisplacedTurn,
    UnexpectedTurn,
)
from outlive.history.operations import SourceConversation, StoredConversation, StoredTurn, TurnAcknowledged


def check_turns(
    acknowledged: Sequence[TurnAcknowledged], stored: StoredConversation, source: SourceConversation
) -> Iterator[Anomaly]:
    """Everything that is wrong with the turns of one conversation."""
    yield from _acknowledged_turns(acknowledged, stored)
    yield from _doubled_ids(stored)
    yield from _foreign_turns(acknowledged, stored, source)
    yield from _sequence(stored)
    yield from _against_source(stored, source)


def _acknowledged_turns(acknowledged: Iterable[TurnAcknowledged], stored: StoredConversation) -> Iterator[Anomaly]:
    by_id = {turn.turn: turn for turn in stored.turns}
    # Two workers may both hear of a turn, by an append and by a reload: what they heard must agree, so each counts.
    for ack in {(ack.turn, ack.position, ack.digest): ack for ack in acknowledged}.values():
        found = by_id.get(ack.turn)
        if found is None:
            yield LostTurn(stored.conversation, ack.turn, ack.position)
            continue
        if found.digest != ack.digest:
            yield AlteredTurn(stored.conversation, ack.turn, ack.digest, found.digest)
        if found.position != ack.position:
            yield MisplacedTurn(stored.conversation, ack.turn, ack.position, found.position)


def _doubled_ids(stored: StoredConversation) -> Iterator[Anomaly]:
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for turn in stored.turns:
        positions[turn.turn].append(turn.position)
    for turn_id, places in positions.items():
        if len(places) > 1:
            yield DuplicatedTurn(stored.conversation, turn_id, tuple(places))


def _foreign_turns(
    acknowledged: Iterable[TurnAcknowledged], stored: StoredConversation, source: SourceConversation
) -> Iterator[Anomaly]:
    """Turns that neither a worker nor the source knows: a copy of another turn under a new id, or out of nowhere."""
    known = {ack.turn for ack in acknowledged} | {turn.turn for turn in source.turns}
    originals = {turn.digest: turn for turn in stored.turns if turn.turn in known}
    for turn in stored.turns:
        if turn.turn not in known:
            yield _foreign(stored.conversation, turn, originals.get(turn.digest))


def _foreign(conversation: str, turn: StoredTurn, original: StoredTurn | None) -> Anomaly:
    if original is None:
        return UnexpectedTurn(conversation, turn.turn, turn.position)
    return DuplicatedTurn(conversation, original.turn, (original.position, turn.position))


def _sequence(stored: StoredConversation) -> Iterator[Anomaly]:
    for expected, found in enumerate(sorted(turn.position for turn in stored.turns)):
        if expected != found:
            yield BrokenSequence(stored.conversation, expected, found)
            return


def _against_source(stored: StoredConversation, source: SourceConversation) -> Iterator[Anomaly]:
    pairs = zip_longest(stored.turns, source.turns)
    for position, (mine, theirs) in enumerate(pairs):
        if mine is not None and theirs is not None and (mine.turn, mine.digest) == (theirs.turn, theirs.digest):
            continue
        if mine is None:
            break
        expected = None if theirs is None else theirs.turn
        yield DivergedConversation(stored.conversation, position, expected, mine.turn)
        return
    if not stored.complete or len(stored.turns) < len(source.turns):
        yield IncompleteConversation(stored.conversation, len(stored.turns), len(source.turns))

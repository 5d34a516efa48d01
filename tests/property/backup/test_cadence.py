"""The paces of streaming: never later than promised, never more puts than paid for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outlive.backup.plan.cadence import Cadence, Due, Pace, after_sending, due, due_in_s

CADENCE = Cadence(burst=10)
TICK_S = 0.1
LOADS = st.lists(st.integers(0, 300_000), min_size=1, max_size=400)


@given(LOADS)
def test_written_wal_is_due_within_the_slow_pace(load: list[int]) -> None:
    """Whatever was written before, WAL waits no longer than `slow_s`, and a silence no longer than `mark_s`."""
    pace, now, waiting, silent_since, waiting_since = Pace.start(CADENCE, 0.0), 0.0, 0, 0.0, 0.0
    for written in load:
        now += TICK_S
        waiting_since = now if waiting == 0 else waiting_since
        waiting += written
        decision = due(pace, waiting, now, CADENCE)
        if decision is not Due.NOTHING:
            pace, waiting, silent_since = after_sending(pace, waiting, now, CADENCE), 0, now
        assert waiting == 0 or now - waiting_since < CADENCE.slow_s + TICK_S
        assert now - silent_since < CADENCE.mark_s + TICK_S


@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=600))
def test_small_pieces_are_bounded_in_number(load: list[int]) -> None:
    """A trickle costs no more than the burst and one put each `slow_s`."""
    pace, now, waiting, puts = Pace.start(CADENCE, 0.0), 0.0, 0, 0
    for written in load:
        now += TICK_S
        waiting += written
        if due(pace, waiting, now, CADENCE) is Due.PIECE:
            puts += waiting < CADENCE.piece_bytes
            pace, waiting = after_sending(pace, waiting, now, CADENCE), 0
    assert puts <= CADENCE.burst + now / CADENCE.slow_s + 1


@given(st.floats(0.5, 60.0))
def test_the_paces_stay_below_the_objective(objective_s: float) -> None:
    """However tight the objective, a put has more than a third of it left to arrive in."""
    cadence = Cadence.within(objective_s)
    assert max(cadence.full_s, cadence.quick_s, cadence.slow_s, cadence.mark_s) <= objective_s * 0.6


def test_the_first_commit_after_a_pause_does_not_wait() -> None:
    """With nothing put for a while, a single byte is due at once."""
    assert due(Pace.start(CADENCE, 100.0), 1, 100.0, CADENCE) is Due.PIECE


@given(st.integers(0, 8), st.floats(0.0, 3.0), st.integers(1, 1 << 20))
def test_the_wait_ends_when_the_piece_is_due(sent: int, since_s: float, waiting: int) -> None:
    """Whoever sleeps as long as he is told finds the piece due, and not much earlier."""
    pace = Pace(float(sent), 0.0)
    wait_s = due_in_s(pace, waiting, since_s, CADENCE)
    assert due(pace, waiting, since_s + wait_s + 1e-6, CADENCE) is Due.PIECE
    if wait_s > 1e-3 and waiting >= CADENCE.piece_bytes:
        assert due(pace, waiting, since_s + wait_s - 1e-3, CADENCE) is Due.NOTHING

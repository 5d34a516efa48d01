"""What becomes of a failed task, and how long a worker waits: for any numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outlive.stores.plan.attempts import Backoff, Bury, RetryAfter, after_failure
from outlive.stores.plan.waking import SHORTEST_PAUSE_S, pause_s

seconds = st.floats(0.001, 1e6)
chances = st.floats(0, 1, exclude_max=True)
backoffs = st.builds(Backoff, first_s=seconds, cap_s=seconds)


@given(st.integers(1, 200), st.integers(1, 200), st.booleans(), backoffs, chances)
def test_a_task_is_tried_as_often_as_it_may_be(
    attempts: int, max_attempts: int, retry: bool, backoff: Backoff, chance: float
) -> None:
    """Another attempt is due if there is one left and it has a point; its pause is no shorter than half of it."""
    verdict = after_failure(attempts, max_attempts, retry=retry, backoff=backoff, chance=chance)
    assert isinstance(verdict, RetryAfter) == (retry and attempts < max_attempts)
    if isinstance(verdict, RetryAfter):
        longest = min(backoff.cap_s, backoff.first_s * 2 ** min(attempts - 1, 64))
        assert longest / 2 <= verdict.pause_s <= longest
    else:
        assert verdict == Bury()


@given(backoffs, st.integers(1, 199), chances)
def test_pauses_grow_up_to_their_cap(backoff: Backoff, attempt: int, chance: float) -> None:
    """With the same luck, the next pause is not shorter."""
    assert backoff.pause_s(attempt, chance) <= backoff.pause_s(attempt + 1, chance) <= backoff.cap_s


@given(st.floats(SHORTEST_PAUSE_S, 1e6), st.none() | st.floats(0, 1e9))
def test_a_worker_looks_again_when_it_must(poll_s: float, due_s: float | None) -> None:
    """It never waits longer than its poll, nor past what is due by more than the shortest pause."""
    pause = pause_s(poll_s, due_s)
    assert SHORTEST_PAUSE_S <= pause <= poll_s
    assert due_s is None or pause <= max(due_s, SHORTEST_PAUSE_S)

"""Any sequence of calls leaves the queue as a small model of it says: order, leases, ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import outlive
from outlive.errors import LeaseLostError, StateError, VersionConflictError
from outlive.stores import AgentState, Backoff, ClaimedTask, NewTask

FAR_S = 3600.0
ACTIONS = ("finish", "fail", "bury", "release", "save_progress", "heartbeat")


@dataclass
class Known:
    """What the model knows of a task; `due` is its place in the order in which tasks became due, None if it is not."""

    id: int
    priority: int
    max_attempts: int
    due: int | None
    status: str = "queued"
    attempts: int = 0
    token: int = 0
    error: str | None = None


class Queue(RuleBasedStateMachine):
    """The calls, and what the model expects of each."""

    state: AgentState
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.queue = f"model-{uuid4()}"
        self.known: dict[int, Known] = {}
        self.handles: list[ClaimedTask] = []
        self.moments = count()

    def do(self, call: Awaitable[Any]) -> Any:
        """Wait for a call."""
        return self.runner.run(_awaited(call))

    def outcome(self, call: Awaitable[Any]) -> type[StateError] | None:
        """What a call is refused with."""
        try:
            self.do(call)
        except StateError as error:
            return type(error)
        return None

    @rule(priority=st.integers(-1, 1), max_attempts=st.integers(1, 3), delayed=st.booleans())
    def enqueue(self, priority: int, max_attempts: int, delayed: bool) -> None:
        """A new task."""
        delay_s = FAR_S if delayed else 0.0
        task = NewTask(self.queue, 1, f"k{len(self.known)}", priority, None, delay_s, max_attempts)
        (kept,) = self.do(self.state.tasks.enqueue_all([task]))
        due = None if delayed else next(self.moments)
        self.known[kept.id] = Known(kept.id, priority, max_attempts, due)

    @precondition(lambda self: self.known)
    @rule(pick=st.integers(0, 99))
    def enqueue_again(self, pick: int) -> None:
        """A key that is there: nothing changes, whatever became of its task."""
        place = pick % len(self.known)
        task = self.do(self.state.tasks.enqueue(self.queue, 1, key=f"k{place}"))
        assert task.id == list(self.known)[place]

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        """The first ones that are due, in order; those without an attempt left are dead when they are met."""
        expected: list[tuple[int, int, int]] = []
        due = [known for known in self.known.values() if known.due is not None]
        for known in sorted(due, key=lambda known: (-known.priority, known.due)):
            if len(expected) == limit:
                break
            known.due = None
            if known.status == "running" and known.attempts >= known.max_attempts:
                known.status = "dead"
                continue
            known.status, known.attempts, known.token = "running", known.attempts + 1, known.token + 1
            expected.append((known.id, known.attempts, known.token))
        backoff = Backoff(first_s=2 * FAR_S, cap_s=2 * FAR_S)
        claimed = self.do(self.state.tasks.claim(self.queue, worker="w", lease_s=FAR_S, limit=limit, backoff=backoff))
        assert [(each.task.id, each.task.attempts, each.task.lease_token) for each in claimed] == expected
        self.handles += claimed

    @precondition(lambda self: self.handles)
    @rule(pick=st.integers(0, 99), action=st.sampled_from(ACTIONS))
    def write(self, pick: int, action: str) -> None:
        """A write of whoever has, or had, a lease."""
        handle = self.handles[pick % len(self.handles)]
        known, token = self.known[handle.task.id], handle.task.lease_token
        expected = self._expected(known, token, action)
        match action:
            case "fail" | "bury":
                call: Awaitable[Any] = handle.fail(f"e{token}", retry=action == "fail")
            case "finish" | "save_progress":
                call = getattr(handle, action)(token)
            case _:
                call = getattr(handle, action)()
        assert self.outcome(call) is expected
        if expected is None and known.status == "running":
            self._apply(known, action)

    def _expected(self, known: Known, token: int, action: str) -> type[StateError] | None:
        if known.token != token:
            return LeaseLostError
        if known.status == "running" or action == "release":
            return None
        repeated = {
            "finish": known.status == "finished",
            "fail": known.status in {"queued", "dead"} and known.error == f"e{token}",
        }
        return None if repeated.get("fail" if action == "bury" else action, False) else VersionConflictError

    def _apply(self, known: Known, action: str) -> None:
        match action:
            case "finish":
                known.status, known.error, known.due = "finished", None, None
            case "fail" if known.attempts < known.max_attempts:
                known.status, known.error, known.due = "queued", f"e{known.token}", None
            case "fail" | "bury":
                known.status, known.error, known.due = "dead", f"e{known.token}", None
            case "release":
                known.status, known.attempts, known.due = "queued", known.attempts - 1, next(self.moments)
            case _:
                known.due = None  # its lease is renewed

    @precondition(lambda self: self.known)
    @rule(pick=st.integers(0, 99))
    def time_passes(self, pick: int) -> None:
        """What is delayed becomes due, and a lease runs out."""
        known = list(self.known.values())[pick % len(self.known)]
        if known.status in {"queued", "running"}:
            self.do(
                self.state.tasks.db.execute(
                    "update outlive.tasks set due_at = clock_timestamp() where id = $1", known.id
                )
            )
            known.due = next(self.moments)

    @precondition(lambda self: self.known)
    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        """Whatever is not over is cancelled, and its holder fenced off."""
        known = list(self.known.values())[pick % len(self.known)]
        if known.status in {"queued", "running"}:
            known.status, known.due, known.token = "cancelled", None, known.token + 1
        assert self.do(self.state.tasks.cancel(known.id)).value == known.status

    @precondition(lambda self: self.known)
    @rule(pick=st.integers(0, 99))
    def requeue(self, pick: int) -> None:
        """Only what is dead or cancelled is queued again."""
        place = pick % len(self.known)
        known = list(self.known.values())[place]
        task = self.do(self.state.tasks.find(self.queue, f"k{place}"))
        fits = known.status in {"dead", "cancelled"}
        assert self.outcome(self.state.tasks.requeue(task)) is (None if fits else VersionConflictError)
        if fits:
            known.status, known.attempts, known.due = "queued", 0, next(self.moments)

    @invariant()
    def the_queue_is_as_the_model_says(self) -> None:
        """Every task has the status, the attempts and the token of the model, and is due if it is due there."""
        rows = self.do(
            self.state.tasks.db.fetch(
                "select id, status, attempts, lease_token, coalesce(due_at <= clock_timestamp(), false) as due "
                "from outlive.tasks where queue = $1",
                self.queue,
                read="strong",
            )
        )
        kept = {row["id"]: (row["status"], row["attempts"], row["lease_token"], row["due"]) for row in rows}
        assert kept == {
            known.id: (known.status, known.attempts, known.token, known.due is not None)
            for known in self.known.values()
        }


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call


def test_the_queue_does_what_its_model_does(database: str) -> None:
    """No task has two live leases, each ends once, the order is kept, and stale writes change nothing."""
    with asyncio.Runner() as runner:
        db = runner.run(outlive.connect(database).start())
        try:
            machine = type("Machine", (Queue,), {"state": AgentState(db), "runner": runner})
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=50,
                    stateful_step_count=25,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(db.close())

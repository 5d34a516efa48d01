"""The cache of answers on a real cluster: each answer is computed once, by whoever lives."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import outlive
from integration.client.waiting import until
from integration.llm_process import patient
from outlive.errors import ConfigurationError, UnstorableError
from outlive.stores import AgentState, Answer, Cost
from outlive.stores.llm_cache import LlmCache
from outlive.stores.statements import Statements

PROGRAM = Path(__file__).parents[1] / "llm_process.py"
LEASE_S = 6.0
"""Two thirds of it is how late a renewal may come on a busy machine before another one computes by right."""
PARAMETERS = {"temperature": 0.0, "stop": ["x"]}


@pytest.fixture
def state(state: AgentState) -> AgentState:
    """The stores, the cache with the time of the others."""
    state.llm_cache = patient(state.db)
    return state


@pytest.fixture
def prompt() -> str:
    """A prompt that no other test uses."""
    return f"p-{uuid4()}"


class Model:
    """Counts how often it was asked, and waits for its gate if it is shut."""

    def __init__(self, *, shut: bool = False) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        if not shut:
            self.gate.set()

    async def __call__(self) -> dict[str, Any]:
        self.asked += 1
        await self.gate.wait()
        return {"text": "hello", "n": self.asked}


@pytest.fixture
async def others(database: str) -> AsyncIterator[list[LlmCache]]:
    """The cache as eight other programs see it."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(outlive.connect(database)) for _ in range(8)]
        yield [patient(client) for client in clients]


async def test_an_answer_is_paid_for_once(state: AgentState, prompt: str) -> None:
    """The second time it is a hit, with what the first one took, however the request is written down."""
    model = Model()
    cost = Cost(tokens=12, dollars=Decimal("0.003"))
    first = await state.llm_cache.get_or_compute("m", prompt, PARAMETERS, model, cost=cost)
    again = await state.llm_cache.get_or_compute("m", prompt, {"stop": ("x",), "temperature": 0}, model)
    assert first == Answer({"text": "hello", "n": 1}, 12, Decimal("0.003"), hit=False, kept=True)
    assert again == Answer({"text": "hello", "n": 1}, 12, Decimal("0.003"), hit=True, kept=True)
    assert await state.llm_cache.find("m", prompt, PARAMETERS) == again
    assert await state.llm_cache.find("m", prompt, {**PARAMETERS, "temperature": 0.1}) is None
    other = await state.llm_cache.get_or_compute("other", prompt, PARAMETERS, model)
    assert (other.hit, model.asked) == (False, 2)


async def test_of_many_programs_that_miss_at_once_one_computes(others: list[LlmCache], prompt: str) -> None:
    """Eight programs of three tasks each get one answer, which was computed once."""
    model = Model(shut=True)
    asking = [
        asyncio.create_task(cache.get_or_compute("m", prompt, PARAMETERS, model, cost=lambda value: Cost(value["n"])))
        for cache in others
        for _ in range(3)
    ]
    await until(lambda: model.asked == 1)
    model.gate.set()
    answers = await asyncio.gather(*asking)
    assert model.asked == 1
    assert {(answer.value["n"], answer.tokens) for answer in answers} == {(1, 1)}
    assert [answer.hit for answer in answers].count(False) == 1


async def test_another_program_takes_over_from_one_that_died(state: AgentState, database: str, prompt: str) -> None:
    """A process is killed while it computes: one that waits computes instead, once the lease is over."""
    arguments = [str(PROGRAM), database, prompt, str(LEASE_S)]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(120):
            assert await process.stdout.readline() == b"computing\n"
            model = Model()
            waiting = asyncio.create_task(state.llm_cache.get_or_compute("model", prompt, {}, model))
            # It is alive still, and renews its lease: nobody else computes.
            await until(lambda: _renewed(state, prompt))
            assert model.asked == 0
            process.kill()
            await process.wait()
            assert (await waiting).value["n"] == 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _renewed(state: AgentState, prompt: str) -> bool:
    key = state.llm_cache._key("model", prompt, {})
    asked = "select extract(epoch from flight_until - created_at) > $2 from outlive.llm_cache where key = $1"
    return bool(await state.tasks.db.fetchval(asked, key, LEASE_S + 1, read="strong"))


async def test_a_failure_is_its_callers_alone(state: AgentState, others: list[LlmCache], prompt: str) -> None:
    """Whoever waits for a call that fails computes itself, at once."""
    gate = asyncio.Event()

    async def fail() -> None:
        await gate.wait()
        raise ValueError("the model is overloaded")

    failing = asyncio.create_task(others[0].get_or_compute("m", prompt, PARAMETERS, fail))
    await until(lambda: _in_flight(state, prompt))
    model = Model()
    waiting = asyncio.create_task(others[1].get_or_compute("m", prompt, PARAMETERS, model))
    gate.set()
    with pytest.raises(ValueError, match="overloaded"):
        await failing
    assert (await waiting).hit is False
    assert model.asked == 1


async def _in_flight(state: AgentState, prompt: str) -> bool:
    key = state.llm_cache._key("m", prompt, PARAMETERS)
    return bool(await state.tasks.db.fetchval("select 1 from outlive.llm_cache where key = $1", key, read="strong"))


async def test_an_answer_is_good_for_its_time(state: AgentState, db: outlive.Cluster, prompt: str) -> None:
    """One that has expired is computed again, evicted in batches, or forgotten by name."""
    model = Model()

    async def ask() -> Answer:
        return await state.llm_cache.get_or_compute("m", prompt, PARAMETERS, model, ttl=timedelta(hours=1))

    async def expire() -> None:
        await db.execute("update outlive.llm_cache set expires_at = clock_timestamp() where value is not null")

    await ask()
    await expire()
    assert await state.llm_cache.find("m", prompt, PARAMETERS) is None
    assert ((await ask()).value["n"], (await ask()).value["n"]) == (2, 2)
    for number in range(5):
        await state.llm_cache.get_or_compute("m", f"{prompt}-{number}", {}, model)
    await expire()
    await ask()
    assert await state.llm_cache.evict(batch=2) >= 5
    assert await state.llm_cache.evict() == 0
    assert await state.llm_cache.find("m", prompt, PARAMETERS) is not None
    assert await state.llm_cache.forget("m", prompt, PARAMETERS) is True
    assert await state.llm_cache.forget("m", prompt, PARAMETERS) is False


@pytest.mark.parametrize("value", ["x" * 2_000_000, object()])
async def test_an_answer_that_can_not_be_kept_is_not_lost(state: AgentState, prompt: str, value: Any) -> None:
    """It was paid for: it is returned, and says that it is not kept; the next one computes it at once."""
    for _ in range(2):
        answer = await state.llm_cache.get_or_compute("m", prompt, PARAMETERS, lambda: value)
        assert (answer.value, answer.hit, answer.kept) == (value, False, False)


async def test_a_cache_out_of_reach_is_no_reason_to_fail(prompt: str, db: outlive.Cluster) -> None:
    """The answer is computed without it, and says that it is not kept."""
    async with outlive.connect(str(db.dsn.render()), pool_size=1) as busy, busy.connection():
        cache = LlmCache(Statements(busy, 0.2))
        answer = await cache.get_or_compute("m", prompt, PARAMETERS, Model())
    assert (answer.value["n"], answer.hit, answer.kept) == (1, False, False)


async def test_its_writes_wait_for_no_standby(state: AgentState, db: outlive.Cluster) -> None:
    """The cache is regenerable unless it is moved: the class goes with its transactions."""
    moved = AgentState(db, classes={"llm_cache": "critical"})
    shown = [
        (await each.write("select current_setting('synchronous_commit') as shown"))["shown"]
        for each in (state.llm_cache._statements, moved.llm_cache._statements)
    ]
    assert shown == ["local", "on"]


async def test_a_request_that_makes_no_sense_is_refused(state: AgentState, prompt: str) -> None:
    """Before the model is asked."""
    model = Model()
    with pytest.raises(UnstorableError, match="the request to 'm'"):
        await state.llm_cache.get_or_compute("m", {1: prompt}, PARAMETERS, model)
    with pytest.raises(UnstorableError, match="a model's name"):
        await state.llm_cache.get_or_compute("", prompt, PARAMETERS, model)
    with pytest.raises(ConfigurationError, match="ttl"):
        await state.llm_cache.get_or_compute("m", prompt, PARAMETERS, model, ttl=timedelta(0))
    with pytest.raises(ConfigurationError, match="lease_s"):
        await state.llm_cache.get_or_compute("m", prompt, PARAMETERS, model, lease_s=-1)
    assert model.asked == 0

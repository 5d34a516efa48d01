"""LangGraph's checkpoints: ours beside LangGraph's own saver for PostgreSQL, which has a pool as its page advises.

One graph of one node, that is what most agents are at heart: a turn is a person's message and an answer of a
kilobyte each. Both savers keep the same threads, turn by turn in one loop, so that a slow moment is slow for both.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import string
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, TypedDict
from uuid import uuid4

import asyncpg
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

import outlive
from outlive.adapters.langgraph import OutliveSaver
from outlive.stores import migrate
from reports import Panel, Report, Row
from slices import compare

if TYPE_CHECKING:
    from state import Options

OURS, THEIRS = "Outlive", "AsyncPostgresSaver"
MESSAGE_BYTES = 1000
MESSAGES = 1000
SAMPLE, ROUNDS = 20, 4
"""How many calls a figure is the median of, and in how many blocks; of turns there are twice as many."""
SETTLE_TRIES = 200
TABLES = {
    OURS: "outlive.objects outlive.object_scopes outlive.graph_checkpoints outlive.graph_writes",
    THEIRS: "checkpoints checkpoint_blobs checkpoint_writes",
}
Times = dict[str, list[float]]
chance = random.Random(1)  # noqa: S311 - texts of a bench


class State(TypedDict):
    """A conversation."""

    messages: Annotated[list[AnyMessage], add_messages]


def _said() -> str:
    """A kilobyte that no compression makes much smaller."""
    return "".join(chance.choices(string.ascii_letters + string.digits, k=MESSAGE_BYTES))


def _model(state: State) -> dict[str, Any]:  # noqa: ARG001 - the name is part of a node's type
    return {"messages": [AIMessage(_said())]}


def _builder() -> StateGraph[State]:
    return StateGraph(State).add_node("model", _model).add_edge(START, "model")


@asynccontextmanager
async def savers(dsn: str) -> AsyncIterator[dict[str, BaseCheckpointSaver[Any]]]:
    """Both savers, their tables made."""
    await migrate(dsn)
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with (
        outlive.connect(dsn) as db,
        AsyncConnectionPool(f"{dsn}&target_session_attrs=read-write", min_size=4, max_size=10, kwargs=options) as pool,
    ):
        theirs = AsyncPostgresSaver(pool)  # type: ignore[arg-type]
        await theirs.setup()
        yield {OURS: OutliveSaver(db), THEIRS: theirs}


async def measure(dsn: str, options: Options) -> Report:
    """All figures of the subject."""
    report = Report("LangGraph's checkpoints", THEIRS)
    connection = await asyncpg.connect(dsn, target_session_attrs="read-write")
    try:
        async with savers(dsn) as both:
            growth = _Growth(connection, both)
            early = await growth.fresh()
            await growth.go(MESSAGES)
            report.rows += growth.rows(early, *await growth.blocks())
            report.rows += await _floor()
            report.rows += await _loads(both, growth.config)
            report.rows.append(await _puts(both))
            if options.messages > MESSAGES:
                report.rows += await growth.go_on(options.messages)
            report.panels += growth.panels()
    finally:
        await connection.close()
    return report


class _Growth:
    """A thread in both savers that grows turn by turn; times in milliseconds and bytes stored, by messages."""

    def __init__(self, connection: asyncpg.Connection, savers: dict[str, BaseCheckpointSaver[Any]]) -> None:
        self.config: RunnableConfig = {"configurable": {"thread_id": str(uuid4())}}
        self._connection = connection
        self._graphs: dict[str, Any] = {name: _builder().compile(checkpointer=saver) for name, saver in savers.items()}
        self._ms: dict[str, list[float]] = {name: [] for name in savers}
        self._bytes: dict[str, list[tuple[float, float]]] = {name: [] for name in savers}

    async def go(self, messages: int) -> None:
        """Add turns to both until there are so many messages."""
        for name in self._graphs:
            await self._turn(name, {"configurable": {"thread_id": "warm-up"}})
        empty = {name: await self._size(name) for name in self._graphs}
        for turn in range(1, messages // 2 + 1):
            for name in self._graphs:
                self._ms[name].append(await self._turn(name, self.config))
            if turn % 25 == 0:
                for name in self._graphs:
                    self._bytes[name].append((2 * turn, await self._size(name) - empty[name]))

    async def go_on(self, messages: int) -> list[Row]:
        """A thread of ours alone, to many more messages: what is stored grows as they do."""
        config: RunnableConfig = {"configurable": {"thread_id": str(uuid4())}}
        empty, times, sizes = await self._size(OURS), list[float](), dict[int, float]()
        for turn in range(1, messages // 2 + 1):
            times.append(await self._turn(OURS, config))
            if turn % 25 == 0:
                sizes[2 * turn] = await self._size(OURS) - empty
            if turn % 500 == 0:
                print(f"{2 * turn:,} of {messages:,} messages", file=sys.stderr)
        self._ms[OURS], self._bytes[OURS] = times, list(sizes.items())
        factor, at = messages / MESSAGES, MESSAGES // 2
        ratio = sizes[messages] / (factor * sizes[MESSAGES])
        late, early = times[-2 * SAMPLE :], times[at - 2 * SAMPLE : at]
        within = statistics.median(late) / statistics.median(early)
        return [
            Row(f"stored at {messages:,} messages, to {factor:g} times that at {MESSAGES:,}, ours",
                _mb(sizes[messages]), _mb(factor * sizes[MESSAGES]), ratio, None, None, "<= 1.1", ratio <= 1.1),
            Row(f"a turn at {messages:,} messages to one at {MESSAGES:,}, ours", _ms(late), _ms(early), within),
        ]  # fmt: skip

    async def _turn(self, name: str, config: RunnableConfig) -> float:
        began = time.perf_counter()
        await self._graphs[name].ainvoke({"messages": [HumanMessage(_said())]}, config)
        return (time.perf_counter() - began) * 1000

    async def _size(self, name: str) -> int:
        return sum([
            int(await self._connection.fetchval("select pg_total_relation_size($1::regclass)", relation))
            for relation in TABLES[name].split()
        ])  # fmt: skip

    async def fresh(self) -> Times:
        """Turns at ten messages, each saver's in blocks by turns: the fifth and sixth of new threads."""
        times: Times = {name: [] for name in self._graphs}
        for _ in range(ROUNDS):
            for name in self._graphs:
                await self._settle()
                for config in [await self._short(name) for _ in range(SAMPLE // ROUNDS)]:
                    times[name] += [await self._turn(name, config) for _ in range(2)]
        return times

    async def blocks(self) -> tuple[Times, list[float]]:
        """Turns at the end of the growth, each saver's in blocks by turns; and ours at ten messages, between ours."""
        times: Times = {name: [] for name in self._graphs}
        short: list[float] = []
        for _ in range(ROUNDS):
            for name in self._graphs:
                beside = [await self._short(name) for _ in range(SAMPLE // ROUNDS)] if name == OURS else []
                await self._settle()
                await self._turn(name, self.config)
                for turn in range(2 * SAMPLE // ROUNDS):
                    times[name].append(await self._turn(name, self.config))
                    if beside:
                        short.append(await self._turn(name, beside[turn // 2]))
        return times, short

    async def _short(self, name: str) -> RunnableConfig:
        """A new thread after its fourth turn."""
        config: RunnableConfig = {"configurable": {"thread_id": str(uuid4())}}
        for _ in range(4):
            await self._turn(name, config)
        return config

    async def _settle(self) -> None:
        """Wait until the standbys have replayed what there is: what one saver wrote is no burden for the other."""
        behind = "select bool_or(replay_lsn < pg_current_wal_flush_lsn()) from pg_stat_replication"
        for _ in range(SETTLE_TRIES):
            if not await self._connection.fetchval(behind):
                return
            await asyncio.sleep(0.05)

    def rows(self, early: Times, late: Times, short: list[float]) -> list[Row]:
        """What was to be reached."""
        ours, theirs = self._bytes[OURS][-1][1], self._bytes[THEIRS][-1][1]
        low, within, high = statistics.quantiles(
            [long / each for long, each in zip(late[OURS], short, strict=True)], n=4
        )
        return [
            Row(f"stored, {MESSAGES:,} messages of 1 KB", _mb(ours), _mb(theirs), theirs / ours, None, None,
                "< 4 MB, >= 150", ours < 4e6 and theirs / ours >= 150),
            _row("a turn at 10 messages", early[OURS], early[THEIRS], 1.0),
            _row(f"a turn at {MESSAGES:,} messages", late[OURS], late[THEIRS], 5.0),
            Row(f"a turn at {MESSAGES:,} to one at 10, ours", _ms(late[OURS]), _ms(short), within, low, high, "<= 1.5",
                within <= 1.5),
        ]  # fmt: skip

    def panels(self) -> list[Panel]:
        """Milliseconds and bytes over messages."""
        smooth = {
            name: [(2.0 * (n + 10), statistics.median(times[n : n + 10])) for n in range(0, len(times), 10)]
            for name, times in self._ms.items()
        }
        megabytes = {name: [(at, size / 1e6) for at, size in points] for name, points in self._bytes.items()}
        return [
            Panel("stored", "messages", "MB, logarithmic", megabytes, logarithmic=True),
            Panel("a turn", "messages", "milliseconds, logarithmic", smooth, logarithmic=True),
        ]


async def _floor() -> list[Row]:
    """What the graph itself takes: with no saver, all messages given to it; and with the one that keeps in memory."""
    rows = []
    for name, saver in (("no saver", None), ("InMemorySaver", InMemorySaver())):
        graph: Any = _builder().compile(checkpointer=saver)
        times = {
            length: [await _alone(graph, length, saver is None) for _ in range(SAMPLE)] for length in (10, MESSAGES)
        }
        many, few = times[MESSAGES], times[10]
        within = statistics.median(many) / statistics.median(few)
        rows.append(Row(f"a turn at {MESSAGES:,} to one at 10, with {name}", _ms(many), _ms(few), within))
    return rows


async def _alone(graph: Any, length: int, is_given: bool) -> float:
    """The milliseconds of a turn after which there are so many messages."""
    config: RunnableConfig = {"configurable": {"thread_id": str(uuid4())}}
    earlier = [HumanMessage(_said(), id=str(uuid4())) for _ in range(length - 2)]
    if not is_given:
        await graph.aupdate_state(config, {"messages": earlier}, as_node="model")
    began = time.perf_counter()
    await graph.ainvoke({"messages": [*(earlier if is_given else []), HumanMessage(_said())]}, config)
    return (time.perf_counter() - began) * 1000


async def _loads(savers: dict[str, BaseCheckpointSaver[Any]], config: RunnableConfig) -> list[Row]:
    """The latest state at the end of the growth: by a process that is new to the thread, and by one that is not."""
    ours, theirs = savers[OURS], savers[THEIRS]
    assert isinstance(ours, OutliveSaver)

    async def anew() -> None:
        await ours.forgetful().aget_tuple(config)

    cold = await _by_turns(anew, lambda: theirs.aget_tuple(config))
    warm = await _by_turns(lambda: ours.aget_tuple(config), lambda: theirs.aget_tuple(config))
    return [
        _row(f"load {MESSAGES:,} messages, new to the thread", *cold, 1.0),
        _row(f"load {MESSAGES:,} messages, in the process that served it last", *warm, 1.0),
    ]


async def _puts(savers: dict[str, BaseCheckpointSaver[Any]]) -> Row:
    """Short state of sixteen threads at once."""

    def put(saver: BaseCheckpointSaver[Any]) -> Callable[[], Awaitable[object]]:
        threads = [str(uuid4()) for _ in range(16)]
        numbers = count()

        async def one() -> None:
            number = next(numbers)
            checkpoint = empty_checkpoint()
            checkpoint["channel_values"] = {"messages": [{"role": "user", "content": f"{number}" * 20}], "step": number}
            versions = {"messages": saver.get_next_version(None, None), "step": saver.get_next_version(None, None)}
            checkpoint["channel_versions"] = versions
            place = {"thread_id": threads[number % 16], "checkpoint_ns": ""}
            await saver.aput({"configurable": place}, checkpoint, {"source": "loop", "step": number}, versions)

        return one

    figures = await compare({name: put(saver) for name, saver in savers.items()}, THEIRS, tasks=16, rounds=30)
    ours, theirs = figures[OURS], figures[THEIRS]
    rates = f"{ours.per_second:,.0f}/s", f"{theirs.per_second:,.0f}/s"
    return Row("puts of short state, 16 threads", *rates, ours.ratio, ours.low, ours.high, ">= 2", ours.ratio >= 2)


async def _by_turns(
    ours: Callable[[], Awaitable[object]], theirs: Callable[[], Awaitable[object]]
) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(SAMPLE + 1):
        for call, spent in zip((ours, theirs), times, strict=True):
            began = time.perf_counter()
            await call()
            if turn:
                spent.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0)
    return times


def _row(what: str, ours: list[float], theirs: list[float], least: float) -> Row:
    ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Row(what, _ms(ours), _ms(theirs), middle, low, high, f">= {least:g}", middle >= least)


def _ms(times: list[float]) -> str:
    return f"{statistics.median(times):.1f} ms"


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.1f} MB"

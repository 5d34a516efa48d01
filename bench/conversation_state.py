"""Conversations: ours beside the transaction of three statements that a program would write by hand with asyncpg.

Both append a turn of a short message to one of 32 conversations, on the same primary, acknowledged by a standby. Ours
also checks the lease and that the turn is not there yet. `scale_state.py` has what `--scale` measures.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg

import outlive
from outlive.stores import AgentState, Conversation, Conversations, NewTurn, migrate
from reports import Report, Row
from slices import Figure, Operation, compare

if TYPE_CHECKING:
    from state import Options

OURS, THEIRS = "Outlive", "asyncpg"
TASKS = 32
ROUNDS = 30
RESUMES = 100
LONG_TURNS = 1000
MESSAGE = {"role": "user", "content": "x" * 200}

TABLES = """
CREATE TABLE IF NOT EXISTS bench_conversations (
    id text PRIMARY KEY, turns bigint NOT NULL, updated_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS bench_turns (
    conversation text NOT NULL REFERENCES bench_conversations, position bigint NOT NULL, id text NOT NULL,
    role text NOT NULL, content json NOT NULL, PRIMARY KEY (conversation, position), UNIQUE (conversation, id)
);
"""
LOCK = "SELECT turns FROM bench_conversations WHERE id = $1 FOR UPDATE"
INSERT = "INSERT INTO bench_turns VALUES ($1, $2, $3, $4, $5)"
UPDATE = "UPDATE bench_conversations SET turns = turns + 1, updated_at = now() WHERE id = $1"


async def measure(dsn: str, _options: Options) -> Report:
    """All figures of the subject."""
    report = Report("Conversations", "asyncpg, three statements in a transaction")
    await migrate(dsn)
    async with outlive.connect(dsn) as db, _by_hand(dsn) as theirs:
        conversations = AgentState(db).conversations
        held = [await conversations.open(f"bench-{uuid4()}", worker="bench") for _ in range(TASKS)]
        for tasks, least in ((TASKS, 3.0), (1, 1.0)):
            figures = await compare({OURS: _appends(held), THEIRS: theirs}, THEIRS, tasks=tasks, rounds=ROUNDS)
            report.rows.append(_row(f"appends a second, {tasks} conversations", figures, least))
        report.rows.append(await _resume(conversations))
    return report


@asynccontextmanager
async def _by_hand(dsn: str) -> AsyncIterator[Operation]:
    async with asyncpg.create_pool(dsn, min_size=10, max_size=10, target_session_attrs="read-write") as pool:
        await pool.execute(TABLES)
        names = deque(f"by-hand-{uuid4()}" for _ in range(TASKS))
        for name in names:
            await pool.execute("INSERT INTO bench_conversations VALUES ($1, 0, now())", name)
        numbers, text = count(), json.dumps(MESSAGE)

        async def append() -> None:
            name = names.popleft()
            async with pool.acquire() as connection, connection.transaction():
                position = await connection.fetchval(LOCK, name)
                await connection.execute(INSERT, name, position, f"t{next(numbers)}", "user", text)
                await connection.execute(UPDATE, name)
            names.append(name)

        yield append


def _appends(held: list[Conversation]) -> Operation:
    free, numbers = deque(held), count()

    async def append() -> None:
        conversation = free.popleft()
        await conversation.append(f"t-{uuid4()}-{next(numbers)}", "user", MESSAGE)
        free.append(conversation)

    return append


def _row(what: str, figures: Mapping[str, Figure], least: float) -> Row:
    ours, theirs = figures[OURS], figures[THEIRS]
    texts = f"{ours.per_second:,.0f}/s", f"{theirs.per_second:,.0f}/s"
    return Row(what, *texts, ours.ratio, ours.low, ours.high, f">= {least:g}", ours.ratio >= least)


async def _resume(conversations: Conversations) -> Row:
    name = f"long-{uuid4()}"
    held = await conversations.open(name, worker="bench")
    for first in range(0, LONG_TURNS, 100):
        await held.append_all([NewTurn(f"t{n}", "user", {**MESSAGE, "n": n}) for n in range(first, first + 100)])
    took_ms = [await _took_ms(lambda: conversations.open(name, worker="bench")) for _ in range(RESUMES)]
    middle = statistics.median(took_ms)
    what = f"resume of {LONG_TURNS:,} turns, one round trip, p50"
    return Row(what, f"{middle:.1f} ms", "", None, None, None, "<= 15 ms", middle <= 15)


async def _took_ms(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000

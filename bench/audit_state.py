"""The audit log: entries chained and sealed as they are appended, beside plain inserts of the same fields.

Both wait for the primary's own disk and for no standby, which is the log's class unless it was moved. The plain table
has the log's keys and nothing that proves anything.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg

import outlive
from outlive.stores import AgentState, Audit, migrate
from reports import Report, Row
from slices import Figure, Operation, compare

if TYPE_CHECKING:
    from state import Options

OURS, THEIRS = "Outlive", "asyncpg"
WRITERS = 16
ROUNDS = 20
DETAILS = {"tool": "refund", "dollars": 40, "reason": "x" * 100}

TABLE = """
CREATE TABLE IF NOT EXISTS bench_audit (
    stream text NOT NULL, position bigint GENERATED ALWAYS AS IDENTITY, id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(), actor text NOT NULL, action text NOT NULL,
    subject text NOT NULL, details json NOT NULL, PRIMARY KEY (stream, position), UNIQUE (stream, id)
)
"""
INSERT = "INSERT INTO bench_audit (stream, id, actor, action, subject, details) VALUES ($1, $2, $3, $4, $5, $6)"


async def measure(dsn: str, _options: Options) -> Report:
    """All figures of the subject."""
    report = Report("The audit log", "asyncpg, one plain insert")
    await migrate(dsn)
    shared = [f"bench-{uuid4()}"]
    own = [f"bench-{uuid4()}" for _ in range(WRITERS)]
    asked = ((1, shared, "1 writer"), (WRITERS, shared, f"{WRITERS} writers, one stream"),
             (WRITERS, own, f"{WRITERS} writers, a stream each"))  # fmt: skip
    async with outlive.connect(dsn) as db, _pool(dsn) as pool:
        for tasks, streams, what in asked:
            contestants = {OURS: _records(AgentState(db).audit, streams, tasks), THEIRS: _inserts(pool, streams, tasks)}
            figures = await compare(contestants, THEIRS, tasks=tasks, rounds=ROUNDS)
            report.rows.append(_row(f"appends a second, {what}", figures))
    return report


@asynccontextmanager
async def _pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    settings = {"synchronous_commit": "local"}
    async with asyncpg.create_pool(
        dsn, min_size=10, max_size=10, target_session_attrs="read-write", server_settings=settings
    ) as pool:
        await pool.execute(TABLE)
        yield pool


def _records(audit: Audit, streams: Sequence[str], tasks: int) -> Operation:
    free = deque(streams[number % len(streams)] for number in range(tasks))

    async def record() -> None:
        stream = free.popleft()
        await audit.record("refund.granted", actor="agent:desk-2", subject="trip-7", details=DETAILS, stream=stream)
        free.append(stream)

    return record


def _inserts(pool: asyncpg.Pool, streams: Sequence[str], tasks: int) -> Operation:
    free, text = deque(streams[number % len(streams)] for number in range(tasks)), json.dumps(DETAILS)

    async def insert() -> None:
        stream = free.popleft()
        await pool.execute(INSERT, stream, uuid4(), "agent:desk-2", "refund.granted", "trip-7", text)
        free.append(stream)

    return insert


def _row(what: str, figures: Mapping[str, Figure]) -> Row:
    ours, theirs = figures[OURS], figures[THEIRS]
    texts = f"{ours.per_second:,.0f}/s", f"{theirs.per_second:,.0f}/s"
    return Row(what, *texts, ours.ratio, ours.low, ours.high, ">= 0.1", ours.ratio >= 0.1)

"""Claims read what is due, whatever else is kept: the plans and the reads of the server itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

import outlive
from outlive.stores.queries import queries
from outlive.stores.shared import new_attempt

ENDED = 100_000
DELAYED = 20_000
TOLD = (
    "LOAD 'auto_explain'",
    "SET auto_explain.log_min_duration = 0",
    "SET auto_explain.log_nested_statements = on",
    "SET auto_explain.log_analyze = on",
    "SET auto_explain.log_buffers = on",
    "SET auto_explain.log_format = 'json'",
    "SET client_min_messages = 'log'",
)
FILL = """
INSERT INTO outlive.tasks (queue, key, status, payload, max_attempts, due_at, ended_at, result, priority)
SELECT 'index', 'ended-' || n, 'finished', '{}'::json, 5, NULL::timestamptz, now(), '{}'::json, n % 5
FROM generate_series(1, $1) AS n
UNION ALL
SELECT 'index', 'delayed-' || n, 'queued', '{}', 5, now() + interval '1 hour', NULL, NULL, 10 + n % 3
FROM generate_series(1, $2) AS n
UNION ALL
SELECT 'index', 'due-' || n, 'queued', '{}', 5, now(), NULL, NULL, n FROM generate_series(1, 6) AS n
"""


@pytest.fixture
async def plans(database: str, superuser_dsn: str) -> list[dict[str, Any]]:
    """The plans of a claim beside many tasks that ended and many that are delayed, as the server ran them."""
    told: list[dict[str, Any]] = []

    def hear(_connection: object, message: Any) -> None:
        text = str(message.message)
        if "plan:" in text:
            told.append(json.loads(text.partition("plan:")[2]))

    assert database
    async with outlive.connect(superuser_dsn) as db, db.connection() as connection:
        await connection.execute(FILL, ENDED, DELAYED)
        await connection.execute("VACUUM ANALYZE outlive.tasks")
        # Once untold: a session's first claim reads the catalog.
        await connection.fetch(queries("tasks")["claim"], ["index"], "w", new_attempt(), 30.0, 1)
        for statement in TOLD:
            await connection.execute(statement)
        connection.add_log_listener(hear)
        claimed = await connection.fetch(queries("tasks")["claim"], ["index"], "w", new_attempt(), 30.0, 2)
        assert [row["key"] for row in claimed] == ["due-5", "due-4"]
        connection.remove_log_listener(hear)
        await connection.execute("SET client_min_messages = 'notice'")
    return told


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan's nodes, from the top."""
    return [plan, *(node for inner in plan.get("Plans", []) for node in nodes(inner))]


async def test_a_claim_reads_the_index_of_what_is_not_over(plans: list[dict[str, Any]]) -> None:
    """However much is kept, no statement of a claim reads the table, and each of them touches a few pages only."""
    locking = [plan for plan in plans if "SKIP LOCKED" in plan["Query Text"] and "FUNCTION" not in plan["Query Text"]]
    assert locking, [plan["Query Text"] for plan in plans]
    for plan in locking:
        assert [node["Index Name"] for node in nodes(plan["Plan"]) if "Index Name" in node] == ["tasks_due"]
    for plan in plans:
        assert not [node for node in nodes(plan["Plan"]) if node["Node Type"] == "Seq Scan"], plan
    touched = [plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] for plan in plans]
    print(f"pages touched by {len(plans)} statements: {touched}")  # noqa: T201
    assert max(touched) < 200

"""Threads that LangGraph's own savers for PostgreSQL kept, brought here: a graph goes on where it stood.

    await import_threads("postgresql://app@old/agents", OutliveSaver(db))

Every checkpoint comes along, with its ids, its place in the history and what was written after it. To import a thread
again changes nothing, but for what was added meanwhile. Nothing is written to the old tables; let nobody write to a
thread while it is imported.

Source: `langgraph-checkpoint-postgres` 3.2, its tables as its migrations make them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.types import TASKS

from outlive.adapters.langgraph.saver import OutliveSaver
from outlive.errors import ConfigurationError

CHECKPOINTS = """
select checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint::text as checkpoint, metadata::text as metadata
from checkpoints where thread_id = $1 order by checkpoint_id
"""
VALUES = """
select b.channel, b.type, b.blob from jsonb_each_text($3::text::jsonb) as v (channel, version)
join checkpoint_blobs b on b.thread_id = $1 and b.checkpoint_ns = $2 and b.channel = v.channel and b.version = v.version
where b.type <> 'empty'
"""
WRITES = """
select task_id, task_path, idx, channel, type, blob from checkpoint_writes
where thread_id = $1 and checkpoint_ns = $2 and checkpoint_id = $3 order by task_path, task_id, idx
"""


async def import_threads(source: str, saver: OutliveSaver, threads: Iterable[str] | None = None) -> int:
    """Bring threads, all of them unless some are named, from the database with the DSN `source`; how many checkpoints.

    Values are read and written by the saver's own serializer, so it has to be able to read the old ones.

    Raises:
        outlive.ConfigurationError: there are no such tables.
        outlive.UnstorableError: a value can't be kept as it is; what was imported before it stays.
    """
    connection = await asyncpg.connect(source, target_session_attrs="primary")
    try:
        names = await _threads(connection) if threads is None else list(threads)
        return sum([await _thread(connection, saver, name) for name in names])
    finally:
        await connection.close()


async def _threads(connection: asyncpg.Connection) -> list[str]:
    try:
        rows = await connection.fetch("select distinct thread_id from checkpoints order by thread_id")
    except asyncpg.UndefinedTableError as error:
        raise ConfigurationError(
            "there is no table `checkpoints`", hint="Name the database that the old saver wrote to."
        ) from error
    return [row["thread_id"] for row in rows]


async def _thread(connection: asyncpg.Connection, saver: OutliveSaver, thread: str) -> int:
    rows = await connection.fetch(CHECKPOINTS, thread)
    for row in rows:
        await _checkpoint(connection, saver, thread, row)
    return len(rows)


async def _checkpoint(connection: asyncpg.Connection, saver: OutliveSaver, thread: str, row: asyncpg.Record) -> None:
    place = thread, row["checkpoint_ns"]
    checkpoint = json.loads(row["checkpoint"])
    blobs = await connection.fetch(VALUES, *place, json.dumps(checkpoint["channel_versions"]))
    # Small values lie in the checkpoint itself; a marker lies there for a snapshot, and the blob counts.
    values = {**checkpoint.get("channel_values", {}), **{blob["channel"]: _loaded(saver, blob) for blob in blobs}}
    if checkpoint["v"] < 4 and row["parent_checkpoint_id"]:
        await _bring_sends(connection, saver, place, row["parent_checkpoint_id"], checkpoint, values)
    checkpoint["channel_values"] = values
    config = _config(*place, row["parent_checkpoint_id"])
    stored = await saver.aput(config, checkpoint, json.loads(row["metadata"]), checkpoint["channel_versions"])
    await _writes(saver, stored, await connection.fetch(WRITES, *place, row["checkpoint_id"]))


async def _bring_sends(
    connection: asyncpg.Connection,
    saver: OutliveSaver,
    place: tuple[str, str],
    parent: str,
    checkpoint: dict[str, Any],
    values: dict[str, Any],
) -> None:
    """Before version 4, what a checkpoint was sent was kept with its parent."""
    sends = [write for write in await connection.fetch(WRITES, *place, parent) if write["channel"] == TASKS]
    if sends:
        values[TASKS] = [_loaded(saver, send) for send in sends]
        versions = checkpoint["channel_versions"]
        versions[TASKS] = max(versions.values()) if versions else saver.get_next_version(None, None)


async def _writes(saver: OutliveSaver, stored: RunnableConfig, writes: Sequence[asyncpg.Record]) -> None:
    """Put each task's writes as that task did: in order, those to LangGraph's own channels apart."""
    for task in dict.fromkeys((write["task_id"], write["task_path"]) for write in writes):
        mine = [write for write in writes if (write["task_id"], write["task_path"]) == task]
        for special in (False, True):
            part = [(write["channel"], _loaded(saver, write)) for write in mine if (write["idx"] < 0) is special]
            await saver.aput_writes(stored, part, *task)


def _loaded(saver: OutliveSaver, row: asyncpg.Record) -> Any:
    return saver.serde.loads_typed((row["type"], row["blob"]))


def _config(thread: str, ns: str, parent: str | None) -> RunnableConfig:
    place = {"thread_id": thread, "checkpoint_ns": ns}
    return {"configurable": place if parent is None else {**place, "checkpoint_id": parent}}

"""Checkpoints on their way back: what the saver remembers is not fetched, and is made while the rest is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_id,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from outlive.adapters.langgraph.configs import config_of, place_of
from outlive.adapters.langgraph.memory import Known, KnownList, Memory
from outlive.adapters.langgraph.unpacking import Ahead, Unpacking, held_names
from outlive.stores.graphs import VALUES, Found, Graphs, Stored, Write
from outlive.stores.plan.sharing import named


class Reading:
    """What a saver reads, with what it remembers of it."""

    def __init__(self, graphs: Graphs, memory: Memory, serde: SerializerProtocol) -> None:
        self._graphs = graphs
        self._memory = memory
        self._serde = serde

    async def one(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the latest of its thread and namespace; None if there is none."""
        place, id_ = place_of(config), get_checkpoint_id(config)
        known = self._memory.get(place)
        lists = known.lists if known is not None else {}
        ahead = Ahead(lists)
        # On the loop's next turn: when the question is on its way, and there is nothing to do but to wait.
        making = asyncio.get_running_loop().call_soon(ahead.make)
        try:
            found = await self._graphs.read(place, id_, held_names(lists))
        finally:
            making.cancel()
        if not found.checkpoints:
            return None
        try:
            return self._remembered(found, lists, ahead)
        except KeyError:
            # What was remembered has changed meanwhile: ask for all of it.
            return self._remembered(await self._graphs.read(place, found.checkpoints[0].id), {})

    def each(self, found: Found) -> Iterator[CheckpointTuple]:
        """The tuples of all that was found, of which nothing is remembered."""
        for stored in found.checkpoints:
            yield self._tuple(stored, Unpacking(self._serde, found.contents, {}))

    async def history(self, config: RunnableConfig, channels: Sequence[str]) -> Mapping[str, DeltaChannelHistory]:
        """What built up channels since each had a value."""
        place, id_ = place_of(config), get_checkpoint_id(config)
        if id_ is None:
            latest = (await self._graphs.read(place, None)).checkpoints
            id_ = latest[0].id if latest else ""
        line = await self._graphs.line(place, id_, channels)
        histories = {channel: _history_shapes(line, channel) for channel in channels}
        names = {name for seed, writes in histories.values() for shape in (seed, *(w.shape for w in writes))
                 for name in named(shape)}  # fmt: skip
        contents = await self._graphs.objects(place.thread, names)
        return {
            channel: _history(channel, seed, writes, Unpacking(self._serde, contents, {}))
            for channel, (seed, writes) in histories.items()
        }

    def _remembered(self, found: Found, lists: Mapping[str, KnownList], ahead: Ahead | None = None) -> CheckpointTuple:
        """The tuple of the one checkpoint that was found, which the next one is likely to be compared with."""
        stored = found.checkpoints[0]
        unpacking = Unpacking(self._serde, found.contents, lists, ahead)
        made = self._tuple(stored, unpacking)
        versions = made.checkpoint["channel_versions"]
        known = Known(stored.id, dict(versions), stored.body[VALUES], {**lists, **unpacking.lists})
        self._memory.keep(stored.place, known)
        return made

    def _tuple(self, stored: Stored, unpacking: Unpacking) -> CheckpointTuple:
        body = {key: value for key, value in stored.body.items() if key != VALUES}
        values = {channel: unpacking.value(shape, channel) for channel, shape in stored.body[VALUES].items()}
        beside = unpacking.beside()
        checkpoint = {**body, "id": stored.id, "channel_values": values}
        return CheckpointTuple(
            config=config_of(stored.place, stored.id),
            checkpoint=cast("Checkpoint", checkpoint),
            metadata=cast("CheckpointMetadata", stored.metadata),
            parent_config=None if stored.parent is None else config_of(stored.place, stored.parent),
            pending_writes=[_pending(write, beside) for write in stored.writes],
        )


def _pending(write: Write, unpacking: Unpacking) -> PendingWrite:
    return write.task, write.channel, unpacking.value(write.shape, write.channel)


def _history(channel: str, seed: Any, writes: list[Write], unpacking: Unpacking) -> DeltaChannelHistory:
    history: DeltaChannelHistory = {"writes": [_pending(write, unpacking) for write in writes]}
    if seed is not None:
        history["seed"] = unpacking.value(seed, channel)
    return history


def _history_shapes(line: Sequence[Stored], channel: str) -> tuple[Any, list[Write]]:
    """The shape of the value that a channel began with, if it had one, and what was written since, in order."""
    since: list[Write] = []
    for stored in line:
        mine = [write for write in stored.writes if write.channel == channel]
        since = mine + since
        if channel in stored.body[VALUES]:
            return stored.body[VALUES][channel], since
    return None, since

"""Checkpoints and writes on their way to the database: what a thread has in common with what is stored isn't sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from outlive.adapters.langgraph.configs import config_of, place_of
from outlive.adapters.langgraph.memory import Known, Memory
from outlive.adapters.langgraph.packing import Packing
from outlive.stores.encoding import encode_object
from outlive.stores.failures import ForgottenObjectsError
from outlive.stores.graphs import VALUES, Graphs, Place, Stored, Write

_APART = frozenset({"id", "channel_values"})


class Writing:
    """What a saver writes, with what it remembers of it."""

    def __init__(self, graphs: Graphs, memory: Memory, serde: SerializerProtocol) -> None:
        self._graphs = graphs
        self._memory = memory
        self._serde = serde

    async def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint.

        Raises:
            UnstorableError: a value can't be serialized, is too large, or a name holds a NUL.
        """
        place, parent = place_of(config), get_checkpoint_id(config)
        details = encode_object(get_serializable_checkpoint_metadata(config, metadata), "the metadata of a checkpoint")
        try:
            await self._send(place, parent, checkpoint, details, new_versions, self._memory.get(place))
        except ForgottenObjectsError:
            self._memory.forget_thread(place.thread)
            await self._send(place, parent, checkpoint, details, new_versions, None)
        return config_of(place, checkpoint["id"])

    async def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        """Keep what a task wrote after a checkpoint.

        Raises:
            UnstorableError: a value can't be serialized, is too large, or a name holds a NUL.
        """
        place = place_of(config)
        try:
            await self._send_writes(place, config, writes, task_id, task_path)
        except ForgottenObjectsError:
            self._memory.forget_thread(place.thread)
            await self._send_writes(place, config, writes, task_id, task_path)

    async def _send(
        self,
        place: Place,
        parent: str | None,
        checkpoint: Checkpoint,
        metadata: str,
        new_versions: ChannelVersions,
        known: Known | None,
    ) -> None:
        packing = self._packing(place, known)
        inherited = known if known is not None and known.checkpoint == parent else None
        shapes, lists = {}, dict(known.lists if known is not None else {})
        for channel, value in checkpoint["channel_values"].items():
            version = checkpoint["channel_versions"].get(channel)
            if inherited is not None and channel not in new_versions and _unchanged(inherited, channel, version):
                shapes[channel] = packing.again(inherited.shapes[channel])
            else:
                shapes[channel] = packing.shape(value, channel)
        body = {VALUES: shapes, **{key: value for key, value in checkpoint.items() if key not in _APART}}
        await self._graphs.put(Stored(place, checkpoint["id"], parent, body, {}), metadata, packing.parcel)
        self._memory.was_stored(place.thread, set(packing.parcel.objects))
        lists.update(packing.lists)
        self._memory.keep(place, Known(checkpoint["id"], dict(checkpoint["channel_versions"]), shapes, lists))

    async def _send_writes(
        self, place: Place, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        # A task often writes a list that begins as the channel's own one does.
        packing = self._packing(place, self._memory.get(place))
        replace = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        packed: dict[int, Write] = {}
        for number, (channel, value) in enumerate(writes):
            at = WRITES_IDX_MAP.get(channel, number)
            if replace or at not in packed:
                packed[at] = Write(task_id, channel, packing.shape(value, channel), at)
        id_ = str(get_checkpoint_id(config))
        await self._graphs.put_writes(place, id_, task_path, list(packed.values()), packing.parcel, replace=replace)
        self._memory.was_stored(place.thread, set(packing.parcel.objects))

    def _packing(self, place: Place, known: Known | None) -> Packing:
        return Packing(
            self._serde,
            self._graphs.max_value_bytes,
            lambda name: self._memory.is_stored(place.thread, name),
            known.lists if known is not None else {},
        )


def _unchanged(known: Known, channel: str, version: object) -> bool:
    return channel in known.shapes and known.versions.get(channel) == version

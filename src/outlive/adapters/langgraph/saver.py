"""LangGraph's checkpoints, kept where a failover can't lose them, at the cost of what changed.

    async with outlive.connect() as db:
        graph = builder.compile(checkpointer=OutliveSaver(db))

What two checkpoints of a thread have in common is stored once: of a list of a thousand messages that grew by one, one
message is written. Each call is one transaction and one round trip; it is retried when the primary dies, and says
the same when it is said twice, so a graph goes on over a failover by itself, and nothing that was acknowledged is lost.

For programs without asyncio, give it the client of `outlive.sync`. With the asynchronous one, its synchronous methods
may be called from other threads than the event loop's, as LangGraph's own asynchronous saver has it.

Source: LangGraph documentation, "Checkpointer integrations"; `langgraph.checkpoint.base.BaseCheckpointSaver`.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from outlive.adapters.langgraph.faces import Face
from outlive.adapters.langgraph.memory import Known, KnownList, Memory
from outlive.adapters.langgraph.packing import Packing
from outlive.adapters.langgraph.unpacking import Ahead, Unpacking, held_names
from outlive.client.cluster import Cluster
from outlive.errors import ConfigurationError
from outlive.stores.encoding import encode
from outlive.stores.failures import ForgottenObjectsError
from outlive.stores.graphs import MAX_PAGE, Found, Place, Stored, Wanted, Write
from outlive.stores.plan.sharing import named
from outlive.stores.state import AgentState
from outlive.sync import SyncCluster

_VALUES = "values"
_APART = frozenset({"id", "channel_values"})


class OutliveSaver(BaseCheckpointSaver[Any]):
    """A checkpoint saver on an Outlive cluster; the schema is made by `outlive migrate`.

    `serde` serializes values, LangGraph's own one by default; `max_value_bytes` bounds what one value or one element
    of a list may have. Usable by many graphs, tasks and threads at once.
    """

    def __init__(
        self,
        db: Cluster | SyncCluster,
        *,
        serde: SerializerProtocol | None = None,
        max_value_bytes: int | None = None,
        timeout_s: float | None = None,
    ) -> None:
        super().__init__(serde=serde)
        self._face = Face(db)
        limits = {"max_value_bytes": max_value_bytes, "timeout_s": timeout_s}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        self._graphs = AgentState(self._face.cluster, **cast("Any", given)).graphs
        self._memory = Memory()

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint; it is replicated when this returns.

        Raises:
            outlive.UnstorableError: a value can't be serialized, is too large, or a name holds a NUL.
        """
        return await self._face.do(self._put(config, checkpoint, metadata, new_versions))

    async def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        place, parent = _place(config), get_checkpoint_id(config)
        details = encode(get_serializable_checkpoint_metadata(config, metadata), "the metadata of a checkpoint")
        try:
            await self._send(place, parent, checkpoint, details, new_versions, self._memory.get(place))
        except ForgottenObjectsError:
            self._memory.forget_thread(place.thread)
            await self._send(place, parent, checkpoint, details, new_versions, None)
        return _config(place, checkpoint["id"])

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
        body = {_VALUES: shapes, **{key: value for key, value in checkpoint.items() if key not in _APART}}
        await self._graphs.put(Stored(place, checkpoint["id"], parent, body, {}), metadata, packing.parcel)
        self._memory.was_stored(place.thread, set(packing.parcel.objects))
        lists.update(packing.lists)
        self._memory.keep(place, Known(checkpoint["id"], dict(checkpoint["channel_versions"]), shapes, lists))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep what a task wrote after a checkpoint, for a run that is resumed not to do it again.

        Raises:
            outlive.UnstorableError: a value can't be serialized, is too large, or a name holds a NUL.
        """
        if writes:
            await self._face.do(self._put_writes(config, writes, task_id, task_path))

    async def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        place = _place(config)
        try:
            await self._send_writes(place, config, writes, task_id, task_path)
        except ForgottenObjectsError:
            self._memory.forget_thread(place.thread)
            await self._send_writes(place, config, writes, task_id, task_path)

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

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the latest of its thread and namespace; None if there is none.

        It shows every acknowledged write, and comes in one round trip.
        """
        return await self._face.do(self._get_tuple(config))

    async def _get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        place, id_ = _place(config), get_checkpoint_id(config)
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

    def _remembered(self, found: Found, lists: Mapping[str, KnownList], ahead: Ahead | None = None) -> CheckpointTuple:
        """The tuple of the one checkpoint that was found, which the next one is likely to be compared with."""
        stored = found.checkpoints[0]
        unpacking = Unpacking(self.serde, found.contents, lists, ahead)
        made = self._tuple(stored, unpacking)
        versions = made.checkpoint["channel_versions"]
        self._memory.keep(
            stored.place, Known(stored.id, dict(versions), stored.body[_VALUES], {**lists, **unpacking.lists})
        )
        return made

    def _tuple(self, stored: Stored, unpacking: Unpacking) -> CheckpointTuple:
        body = {key: value for key, value in stored.body.items() if key != _VALUES}
        values = {channel: unpacking.value(shape, channel) for channel, shape in stored.body[_VALUES].items()}
        beside = unpacking.beside()
        checkpoint = {**body, "id": stored.id, "channel_values": values}
        return CheckpointTuple(
            config=_config(stored.place, stored.id),
            checkpoint=cast("Checkpoint", checkpoint),
            metadata=cast("CheckpointMetadata", stored.metadata),
            parent_config=None if stored.parent is None else _config(stored.place, stored.parent),
            pending_writes=[_pending(write, beside) for write in stored.writes],
        )

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's word
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The checkpoints that match, the newest first, in pages of fifty."""
        wanted, left = _wanted(config, filter, before), limit
        last: Stored | None = None
        while left is None or left > 0:
            size = MAX_PAGE if left is None else min(left, MAX_PAGE)
            found = await self._face.do(self._graphs.page(wanted, last, size))
            for stored in found.checkpoints:
                yield self._tuple(stored, Unpacking(self.serde, found.contents, {}))
            if len(found.checkpoints) < size:
                return
            last, left = found.checkpoints[-1], None if left is None else left - size

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all that a thread has."""
        self._memory.forget_thread(str(thread_id))
        await self._face.do(self._graphs.delete_thread(str(thread_id)))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of runs, in all threads and namespaces, and what was written after them.

        Raises:
            outlive.StateError: a checkpoint that stays has a `DeltaChannel` that is built up from writes of these
                runs; nothing is deleted.
        """
        if run_ids:
            await self._face.do(self._graphs.delete_runs([str(run) for run in run_ids]))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all that a thread has to another one; nothing to do if there is no such thread."""
        await self._face.do(self._graphs.copy_thread(str(source_thread_id), str(target_thread_id)))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the latest checkpoint of each namespace of the threads, or nothing: `strategy="delete"`.

        With the latest one stay those that its `DeltaChannel`s are built up from. The namespaces of a subgraph's calls
        go with the root graph's checkpoint that they began at.

        Raises:
            outlive.ConfigurationError: there is no such strategy.
        """
        if isinstance(thread_ids, str) or strategy not in ("keep_latest", "delete"):
            raise ConfigurationError(
                f"threads {thread_ids!r} can't be pruned by the strategy {strategy!r}",
                hint='Pass a list of threads, and "keep_latest" or "delete".',
            )
        for thread in map(str, thread_ids):
            self._memory.forget_thread(thread)
            forget = self._graphs.prune if strategy == "keep_latest" else self._graphs.delete_thread
            await self._face.do(forget(thread))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What built up channels since each had a value, in two round trips, however long ago that was."""
        return await self._face.do(self._delta_history(config, channels)) if channels else {}

    async def _delta_history(
        self, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        place, id_ = _place(config), get_checkpoint_id(config)
        if id_ is None:
            latest = (await self._graphs.read(place, None)).checkpoints
            id_ = latest[0].id if latest else ""
        line = await self._graphs.line(place, id_, channels)
        histories = {channel: _history_shapes(line, channel) for channel in channels}
        names = {name for seed, writes in histories.values() for shape in (seed, *(w.shape for w in writes))
                 for name in named(shape)}  # fmt: skip
        contents = await self._graphs.objects(place.thread, names)
        return {
            channel: self._history(channel, seed, writes, Unpacking(self.serde, contents, {}))
            for channel, (seed, writes) in histories.items()
        }

    def _history(self, channel: str, seed: Any, writes: list[Write], unpacking: Unpacking) -> DeltaChannelHistory:
        history: DeltaChannelHistory = {"writes": [_pending(write, unpacking) for write in writes]}
        if seed is not None:
            history["seed"] = unpacking.value(seed, channel)
        return history

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See `aput`."""
        return self._face.wait(self._put(config, checkpoint, metadata, new_versions))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """See `aput_writes`."""
        if writes:
            self._face.wait(self._put_writes(config, writes, task_id, task_path))

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See `aget_tuple`."""
        return self._face.wait(self._get_tuple(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's word
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """See `alist`."""
        found = self.alist(config, filter=filter, before=before, limit=limit)
        while (each := self._face.wait(_next(found))) is not None:
            yield each

    def delete_thread(self, thread_id: str) -> None:
        """See `adelete_thread`."""
        self._face.wait(self.adelete_thread(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """See `adelete_for_runs`."""
        self._face.wait(self.adelete_for_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """See `acopy_thread`."""
        self._face.wait(self.acopy_thread(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """See `aprune`."""
        self._face.wait(self.aprune(thread_ids, strategy=strategy))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """See `aget_delta_channel_history`."""
        return self._face.wait(self._delta_history(config, channels)) if channels else {}

    def get_next_version(self, current: Any, channel: None) -> Any:  # noqa: ARG002 - LangGraph passes it
        """The number that follows, of the kind that the thread has: a thread that was imported has strings."""
        if isinstance(current, str):
            whole, dot, rest = current.partition(".")
            return f"{int(whole) + 1:032}{dot}{rest}"
        return 1 if current is None else current + 1

    def forgetful(self) -> OutliveSaver:
        """The same saver, remembering nothing of what this one has read and written: as a new process begins."""
        other = copy.copy(self)
        other._memory = Memory()  # noqa: SLF001 - its own
        return other

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> BaseCheckpointSaver[Any]:
        """The same saver with more types that may be loaded; it remembers nothing that was loaded without them."""
        clone = super().with_allowlist(extra_allowlist)
        return clone.forgetful() if isinstance(clone, OutliveSaver) and clone is not self else clone

    def _packing(self, place: Place, known: Known | None) -> Packing:
        return Packing(
            self.serde,
            self._graphs.max_value_bytes,
            lambda name: self._memory.is_stored(place.thread, name),
            known.lists if known is not None else {},
        )


async def _next(found: AsyncIterator[CheckpointTuple]) -> CheckpointTuple | None:
    return await anext(found, None)


def _unchanged(known: Known, channel: str, version: object) -> bool:
    return channel in known.shapes and known.versions.get(channel) == version


def _place(config: RunnableConfig) -> Place:
    named_in = config["configurable"]
    return Place(str(named_in["thread_id"]), named_in.get("checkpoint_ns") or "")


def _config(place: Place, checkpoint: str) -> RunnableConfig:
    return {"configurable": {"thread_id": place.thread, "checkpoint_ns": place.ns, "checkpoint_id": checkpoint}}


def _wanted(config: RunnableConfig | None, filter_: dict[str, Any] | None, before: RunnableConfig | None) -> Wanted:
    named_in: dict[str, Any] = {} if config is None else config["configurable"]
    return Wanted(
        thread=str(named_in["thread_id"]) if "thread_id" in named_in else None,
        ns=named_in.get("checkpoint_ns"),
        id=named_in.get("checkpoint_id") or None,
        before=None if before is None else get_checkpoint_id(before),
        filter=filter_ or None,
    )


def _pending(write: Write, unpacking: Unpacking) -> PendingWrite:
    return write.task, write.channel, unpacking.value(write.shape, write.channel)


def _history_shapes(line: Sequence[Stored], channel: str) -> tuple[Any, list[Write]]:
    """The shape of the value that a channel began with, if it had one, and what was written since, in order."""
    since: list[Write] = []
    for stored in line:
        mine = [write for write in stored.writes if write.channel == channel]
        since = mine + since
        if channel in stored.body[_VALUES]:
            return stored.body[_VALUES][channel], since
    return None, since

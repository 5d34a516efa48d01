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

import copy
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from outlive.adapters.langgraph.configs import wanted
from outlive.adapters.langgraph.faces import Face
from outlive.adapters.langgraph.memory import Memory
from outlive.adapters.langgraph.reading import Reading
from outlive.adapters.langgraph.writing import Writing
from outlive.client.cluster import Cluster
from outlive.errors import ConfigurationError
from outlive.stores.graphs import MAX_PAGE, Stored
from outlive.stores.state import AgentState
from outlive.sync import SyncCluster


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
        return await self._face.do(self._writing.put(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep what a task wrote after a checkpoint, for a run that is resumed not to do it again.

        Raises:
            outlive.UnstorableError: a value can't be serialized, is too large, or a name holds a NUL.
        """
        if writes:
            await self._face.do(self._writing.put_writes(config, writes, task_id, task_path))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the latest of its thread and namespace; None if there is none.

        It shows every acknowledged write, and comes in one round trip.
        """
        return await self._face.do(self._reading.one(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's word
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The checkpoints that match, the newest first, in pages of fifty."""
        asked, left = wanted(config, filter, before), limit
        last: Stored | None = None
        while left is None or left > 0:
            size = MAX_PAGE if left is None else min(left, MAX_PAGE)
            found = await self._face.do(self._graphs.page(asked, last, size))
            for each in self._reading.each(found):
                yield each
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
        return await self._face.do(self._reading.history(config, channels)) if channels else {}

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See `aput`."""
        return self._face.wait(self._writing.put(config, checkpoint, metadata, new_versions))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """See `aput_writes`."""
        if writes:
            self._face.wait(self._writing.put_writes(config, writes, task_id, task_path))

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See `aget_tuple`."""
        return self._face.wait(self._reading.one(config))

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
        return self._face.wait(self._reading.history(config, channels)) if channels else {}

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

    @property
    def _writing(self) -> Writing:
        return Writing(self._graphs, self._memory, self.serde)

    @property
    def _reading(self) -> Reading:
        return Reading(self._graphs, self._memory, self.serde)


async def _next(found: AsyncIterator[CheckpointTuple]) -> CheckpointTuple | None:
    return await anext(found, None)

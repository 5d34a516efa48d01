"""LangGraph's store, for what agents remember beyond a thread, kept where a failover can't lose it.

    store = OutliveStore(db, index={"dims": 1536, "embed": "openai:text-embedding-3-small"})
    await store.setup()
    graph = builder.compile(checkpointer=OutliveSaver(db), store=store)

Writes are critical and are applied once; reads show every acknowledged write. Items that have expired are not seen
any more, and `sweep` deletes them. Search by nearness needs pgvector; without `index` nothing of it is asked for.

Source: LangGraph documentation, "Memory"; `langgraph.store.base.BaseStore`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, cast

from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    ensure_embeddings,
    get_text_at_path,
    validate_op_namespace,
)

from outlive.adapters.langgraph.faces import Face
from outlive.client.cluster import Cluster
from outlive.errors import ConfigurationError
from outlive.stores import items
from outlive.stores.state import AgentState
from outlive.sync import SyncCluster


class OutliveStore(BaseStore):
    """A store on an Outlive cluster; the schema is made by `outlive migrate`, and `setup` makes room for embeddings.

    `index` says what items are found by, `ttl` how long they live, both as LangGraph's own stores have them.
    """

    supports_ttl = True

    def __init__(
        self, db: Cluster | SyncCluster, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> None:
        self._face = Face(db)
        self._items = AgentState(self._face.cluster).items
        self._index = index
        self._embeddings = None if index is None else ensure_embeddings(index.get("embed"))
        self.ttl_config = ttl

    async def asetup(self) -> None:
        """Make room for the embeddings of `index`; nothing to do without one. By the role that migrated.

        Raises:
            outlive.SchemaError: there is no pgvector; the hint says what has to be done.
        """
        if self._index is not None:
            await self._face.do(self._items.enable_vectors(self._index["dims"]))

    def setup(self) -> None:
        """See `asetup`."""
        if self._index is not None:
            self._face.wait(self._items.enable_vectors(self._index["dims"]))

    async def asweep(self) -> int:
        """Delete what has expired; how many items there were. To be called now and then."""
        return await self._face.do(self._items.sweep())

    def sweep(self) -> int:
        """See `asweep`."""
        return self._face.wait(self._items.sweep())

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations: what is read is read before anything is put, and what is put is put whole or not at all.

        Raises:
            outlive.UnstorableError: a value is not JSON, or too large; nothing is put.
            outlive.SchemaError: `setup` was not called.
        """
        return await self._face.do(self._batch(list(ops)))

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """See `abatch`."""
        return self._face.wait(self._batch(list(ops)))

    async def _batch(self, ops: list[Op]) -> list[Result]:
        for op in ops:
            validate_op_namespace(op)
        reads = [op for op in ops if not isinstance(op, PutOp)]
        found = iter(await asyncio.gather(*(self._read(op) for op in reads)))
        puts = [op for op in ops if isinstance(op, PutOp)]
        if puts:
            await self._put(puts)
        return [None if isinstance(op, PutOp) else next(found) for op in ops]

    async def _read(self, op: Op) -> Result:
        match op:
            case GetOp():
                read = (await self._items.get([(op.namespace, op.key)])).values()
                await self._refresh(read, asked=op.refresh_ttl)
                return next((_item(each) for each in read), None)
            case SearchOp():
                read_items = await self._search(op)
                await self._refresh(read_items, asked=op.refresh_ttl)
                return [_found(each) for each in read_items]
            case ListNamespacesOp():
                conditions = [(tuple(c.path), c.match_type == "suffix") for c in op.match_conditions or ()]
                return await self._items.namespaces(conditions, op.max_depth, op.offset, op.limit)
            case _:
                raise ConfigurationError(f"a store has no operation {op!r}")

    async def _search(self, op: SearchOp) -> list[items.Item]:
        prefix, asked = op.namespace_prefix, op.filter or {}
        if op.query and self._embeddings is not None:
            embedding = await self._embeddings.aembed_query(op.query)
            return await self._items.nearest(prefix, asked, op.offset, op.limit, embedding)
        return await self._items.search(prefix, asked, op.offset, op.limit)

    async def _refresh(self, read: Iterable[items.Item], *, asked: bool) -> None:
        names = [(each.ns, each.key) for each in read if each.expires]
        if asked and names:
            await self._items.refresh(names)

    async def _put(self, ops: Sequence[PutOp]) -> None:
        texts = [self._texts(op) for op in ops]
        flat = [text for each in texts for text in each]
        embedded = iter(await self._embeddings.aembed_documents(flat) if flat and self._embeddings else ())
        puts = [
            items.Put(op.namespace, op.key, op.value, op.ttl, [next(embedded) for _ in found])
            for op, found in zip(ops, texts, strict=True)
        ]
        await self._items.put(puts, embedded=self._embeddings is not None)

    def _texts(self, op: PutOp) -> list[str]:
        """The texts that an item is found by."""
        if self._index is None or op.value is None or op.index is False:
            return []
        paths = op.index if op.index is not None else self._index.get("fields") or ["$"]
        return [text for path in paths for text in get_text_at_path(op.value, path) if text]


def _item(item: items.Item) -> Item:
    return Item(
        value=item.value, key=item.key, namespace=item.ns, created_at=item.created_at, updated_at=item.updated_at
    )


def _found(item: items.Item) -> SearchItem:
    return SearchItem(item.ns, item.key, item.value, item.created_at, item.updated_at, cast("Any", item.score))

"""LangGraph's store on a real cluster, held against LangGraph's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from langgraph.store.base import BaseStore, IndexConfig
from langgraph.store.memory import InMemoryStore

import outlive
import outlive.sync
from conformance.langgraph_store import LangGraphStoreConformance, Opener, embed
from outlive.adapters.langgraph import OutliveStore
from outlive.stores import AgentState

DIMENSIONS = 3


@pytest.fixture(scope="module")
async def database(database: str, superuser_dsn: str) -> str:
    """The module's database, with pgvector, which an administrator brings."""
    async with outlive.connect(superuser_dsn) as db:
        await db.execute("create extension if not exists vector schema public", idempotent=True)
    return database


class TestInMemory(LangGraphStoreConformance):
    """LangGraph's own store passes the suite: it asks for nothing that the seam doesn't."""

    @pytest.fixture
    def opened(self) -> Opener:
        """A store that forgets."""
        return lambda index: InMemoryStore(index=index)


class TestOutlive(LangGraphStoreConformance):
    """Ours."""

    @pytest.fixture
    async def opened(self, db: outlive.Cluster, state: AgentState) -> AsyncIterator[Opener]:
        """A store on the cluster, emptied afterwards."""
        await state.items.enable_vectors(DIMENSIONS)
        yield lambda index: OutliveStore(db, index=index)
        await db.execute("delete from outlive.items", idempotent=True)


async def _age(db: outlive.Cluster) -> None:
    await db.execute("update outlive.items set expires_at = now() - interval '1 s' where key = 'old'", idempotent=True)


async def test_what_has_expired_is_not_seen(db: outlive.Cluster) -> None:
    """Neither by name nor by search nor in a listing, before it is swept as after; a read lets an item live on."""
    store = OutliveStore(db)
    await store.aput(("ttl",), "old", {"n": 1}, ttl=1)
    await store.aput(("ttl", "young"), "young", {"n": 1}, ttl=10)
    await _age(db)
    assert await store.aget(("ttl",), "old") is None
    assert [item.key for item in await store.asearch(("ttl",))] == ["young"]
    assert await store.alist_namespaces(prefix=("ttl",)) == [("ttl", "young")]
    assert await store.asweep() == 1
    until = "select expires_at from outlive.items where key = 'young'"
    before = await db.fetchval(until, read="strong")
    await store.aget(("ttl", "young"), "young", refresh_ttl=False)
    assert await db.fetchval(until, read="strong") == before
    await store.aget(("ttl", "young"), "young")
    assert await db.fetchval(until, read="strong") > before


async def test_a_batch_is_put_whole_or_not_at_all(db: outlive.Cluster) -> None:
    """What can't be kept is a typed error, and nothing of its batch is kept."""
    store = OutliveStore(db)
    for broken in ({"a": object()}, {"a": "b\0"}):
        with pytest.raises(outlive.UnstorableError):
            await asyncio.gather(store.aput(("w",), "whole", broken))
    assert await store.aget(("w",), "whole") is None


async def test_another_length_of_embeddings_is_refused(db: outlive.Cluster, state: AgentState) -> None:
    """The error says what is kept."""
    await state.items.enable_vectors(DIMENSIONS)
    index: IndexConfig = {"dims": 5, "embed": embed}
    with pytest.raises(outlive.SchemaError):
        await OutliveStore(db, index=index).asetup()


async def test_without_room_for_embeddings(db: outlive.Cluster) -> None:
    """A store with an index says what is missing."""
    await db.execute("drop table if exists outlive.item_embeddings cascade", idempotent=True)
    await db.execute("drop function if exists outlive.embed_items, outlive.search_items", idempotent=True)
    store: BaseStore = OutliveStore(db, index={"dims": 3, "embed": embed})
    with pytest.raises(outlive.SchemaError):
        await store.aput(("e",), "k", {"text": "a"})


async def test_programs_without_asyncio(database: str) -> None:
    """The synchronous face does the same."""

    def alone() -> object:
        with outlive.sync.connect(database) as client:
            store = OutliveStore(client)
            store.put(("sync",), "k", {"n": 1})
            item = store.get(("sync",), "k")
            return None if item is None else item.value

    assert await asyncio.to_thread(alone) == {"n": 1}

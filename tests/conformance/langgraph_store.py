"""What every store of LangGraph has to do: one suite for LangGraph's own store and for ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langgraph.store.base import BaseStore, GetOp, IndexConfig, InvalidNamespaceError, PutOp

Opener = Callable[[IndexConfig | None], BaseStore]


def embed(texts: Sequence[str]) -> list[list[float]]:
    """A model that knows of letters only."""
    return [[float(text.count(letter)) + 0.01 for letter in "abc"] for text in texts]


class LangGraphStoreConformance:
    """Inherited by a test class that has a fixture `opened`, which opens an empty store with an index or without."""

    @pytest.fixture
    def store(self, opened: Opener) -> BaseStore:
        """A store that is searched by filters alone."""
        return opened(None)

    async def test_an_item_comes_back(self, store: BaseStore) -> None:
        """Whatever JSON it is, under its own namespace only; put again it is another one, and made when it was."""
        value = {"text": "Grüezi 🚆 '; drop table", "deep": {"n": [1, 2.5, None, True]}}
        await store.aput(("users", "ada"), "seat", value)
        item = await store.aget(("users", "ada"), "seat")
        assert item is not None
        assert (item.value, item.key, item.namespace) == (value, "seat", ("users", "ada"))
        assert await store.aget(("users",), "seat") is None
        await store.aput(("users", "ada"), "seat", {"text": "b"})
        again = await store.aget(("users", "ada"), "seat")
        assert again is not None
        assert again.value == {"text": "b"}
        assert again.updated_at >= again.created_at

    async def test_a_deleted_item_is_gone(self, store: BaseStore) -> None:
        """One that isn't there can be deleted too."""
        await store.aput(("d",), "a", {"n": 1})
        for _ in range(2):
            await store.adelete(("d",), "a")
        assert await store.aget(("d",), "a") is None

    async def test_what_one_batch_reads_is_from_before_what_it_puts(self, store: BaseStore) -> None:
        """And the last put of a name counts."""
        await store.aput(("b",), "a", {"n": 0})
        puts = [PutOp(("b",), "a", {"n": n}) for n in (1, 2)]
        results = await store.abatch([puts[0], GetOp(("b",), "a"), puts[1], GetOp(("b",), "none")])
        assert [None if each is None else getattr(each, "value", each) for each in results] == [
            None, {"n": 0}, None, None,
        ]  # fmt: skip
        item = await store.aget(("b",), "a")
        assert item is not None
        assert item.value == {"n": 2}

    @pytest.mark.parametrize(
        ("asked", "keys"),
        [
            ({}, "abc"),
            ({"kind": "x"}, "ab"),
            ({"kind": "x", "n": 2}, "b"),
            ({"n": {"$gt": 1}}, "bc"),
            ({"n": {"$gte": 1, "$lt": 3}}, "ab"),
            ({"n": {"$lte": 1}}, "a"),
            ({"n": {"$ne": 2}}, "ac"),
            ({"n": {"$eq": 3}}, "c"),
            ({"deep": {"on": True}}, "a"),
            ({"none": "x"}, ""),
        ],
        ids=str,
    )
    async def test_items_are_found_by_filters(self, store: BaseStore, asked: dict[str, Any], keys: str) -> None:
        """Under a path and in what lies below it, by equality and by operators."""
        await store.aput(("f", "1"), "a", {"kind": "x", "n": 1, "deep": {"on": True, "more": 1}})
        await store.aput(("f", "1", "deeper"), "b", {"kind": "x", "n": 2, "deep": {"on": False}})
        await store.aput(("f", "2"), "c", {"kind": "y", "n": 3})
        await store.aput(("f2",), "other", {"kind": "x", "n": 2})
        assert {item.key for item in await store.asearch(("f",), filter=asked)} == set(keys)

    async def test_a_search_comes_in_pages(self, store: BaseStore) -> None:
        """Every item is in one of them."""
        for number in range(5):
            await store.aput(("p",), f"{number}", {"n": number})
        pages = [await store.asearch(("p",), limit=2, offset=offset) for offset in (0, 2, 4)]
        assert [len(page) for page in pages] == [2, 2, 1]
        assert {item.key for page in pages for item in page} == {"0", "1", "2", "3", "4"}

    async def test_namespaces_are_listed(self, store: BaseStore) -> None:
        """By how they begin and end, a star for any label, cut to a depth, in pages."""
        for ns in [("n", "a", "x"), ("n", "a", "y"), ("n", "b", "x"), ("m", "a", "x")]:
            await store.aput(ns, "k", {"n": 1})
        assert await store.alist_namespaces(prefix=("n",)) == [("n", "a", "x"), ("n", "a", "y"), ("n", "b", "x")]
        assert await store.alist_namespaces(prefix=("n",), suffix=("x",)) == [("n", "a", "x"), ("n", "b", "x")]
        assert await store.alist_namespaces(prefix=("n", "*", "x")) == [("n", "a", "x"), ("n", "b", "x")]
        assert await store.alist_namespaces(prefix=("n",), max_depth=2) == [("n", "a"), ("n", "b")]
        assert await store.alist_namespaces(prefix=("n",), max_depth=2, limit=1, offset=1) == [("n", "b")]

    async def test_items_are_found_by_nearness(self, opened: Opener) -> None:
        """The nearest first with its score, of several texts the nearest one; those without an index come last."""
        store = opened({"dims": 3, "embed": embed, "fields": ["text", "more[*]"]})
        await store.aput(("v",), "a", {"text": "aaaa"})
        await store.aput(("v",), "b", {"text": "cccc", "more": ["bbbb", "acc"]})
        await store.aput(("v",), "none", {"text": "aaaa"}, index=False)
        found = await store.asearch(("v",), query="bb")
        assert [item.key for item in found] == ["b", "a", "none"]
        assert found[0].score == pytest.approx(1.0, abs=0.01)
        assert found[2].score is None
        await store.aput(("v",), "b", {"text": "aaab"})
        assert [item.key for item in await store.asearch(("v",), query="bb", limit=1)] == ["b"]
        await store.adelete(("v",), "b")
        assert [item.key for item in await store.asearch(("v",), query="bb", limit=1)] == ["a"]

    async def test_a_bad_namespace_is_refused(self, store: BaseStore) -> None:
        """Empty labels and those with a dot."""
        for ns in [(), ("a.b",), ("",)]:
            with pytest.raises(InvalidNamespaceError):
                await store.aput(ns, "k", {"n": 1})

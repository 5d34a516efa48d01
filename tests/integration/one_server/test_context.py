"""Retrieved context is stored once, found by nearness or by words, and forgotten when it is old."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

import outlive
from outlive.errors import ConfigurationError, SchemaError, UnstorableError
from outlive.stores import AgentState, NewDocument

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
async def empty(superuser: asyncpg.Connection) -> None:
    """No document is there when a test begins."""
    await superuser.execute("truncate outlive.context_documents, outlive.context_contents cascade")


@pytest.fixture
async def with_vectors(state: AgentState, superuser: asyncpg.Connection) -> AsyncIterator[AgentState]:
    """Embeddings of three dimensions are kept."""
    await superuser.execute("create extension if not exists vector schema public")
    await state.context.enable_vectors(3)
    yield state
    await superuser.execute("drop table outlive.context_embeddings")
    await superuser.execute("drop function outlive.embed_context, outlive.search_context")
    await superuser.execute("drop extension vector")


async def test_the_same_content_is_stored_once(state: AgentState, superuser: asyncpg.Connection) -> None:
    """Under two sources, and again under one of them, with the metadata that was said last."""
    await state.context.add("a", ["one", NewDocument("two", {"page": 1}), "one"])
    await state.context.add("b", ["one"])
    await state.context.add("a", [NewDocument("two", {"page": 2})])
    await state.context.add("c", [])
    assert await superuser.fetchval("select count(*) from outlive.context_contents") == 2
    found = {document.content: dict(document.metadata) for document in await state.context.get("a")}
    assert found == {"one": {}, "two": {"page": 2}}
    assert await state.context.get("nowhere") == ()


async def test_a_content_goes_with_its_last_source(state: AgentState, superuser: asyncpg.Connection) -> None:
    """Deleting a source keeps what another one has."""
    await state.context.add("a", ["one", "two"])
    await state.context.add("b", ["one"])
    assert await state.context.delete("a") == 2
    assert await state.context.delete("a") == 0
    assert [row["content"] for row in await superuser.fetch("select content from outlive.context_contents")] == ["one"]
    assert [document.content for document in await state.context.get("b")] == ["one"]


async def test_adding_and_deleting_at_once_leaves_no_hole(state: AgentState, superuser: asyncpg.Connection) -> None:
    """No document loses its content, and no content stays without a document."""
    for _ in range(5):
        await asyncio.gather(
            *(state.context.add(f"s{n}", ["shared", f"own {n}"]) for n in range(6)),
            *(state.context.delete(f"s{n}") for n in range(6)),
        )
    orphans = "select count(*) from outlive.context_contents c left join outlive.context_documents d on d.content = c.key where d is null"  # fmt: skip  # noqa: E501
    assert await superuser.fetchval(orphans) == 0


async def test_words_find_documents(state: AgentState) -> None:
    """The better match comes first; sources and metadata narrow it down."""
    await state.context.add("a", [NewDocument("Seats by the window cost more. Window seats sell out.", {"lang": "en"})])
    await state.context.add("b", ["A window was broken.", "Trains leave at noon."])
    assert [found.document.source for found in await state.context.search_text("window")] == ["a", "b"]
    assert [found.document.source for found in await state.context.search_text('"a window"')] == ["b"]
    assert [found.document.source for found in await state.context.search_text("window", source="b")] == ["b"]
    assert [found.document.source for found in await state.context.search_text("window", metadata={"lang": "en"})] == [
        "a"
    ]
    assert await state.context.search_text("aeroplane") == ()


async def test_old_documents_expire_in_batches(state: AgentState, superuser: asyncpg.Connection) -> None:
    """What is younger stays, with its content."""
    await state.context.add("old", [f"old {n}" for n in range(7)])
    await superuser.execute("update outlive.context_documents set retrieved_at = now() - interval '2 days'")
    await state.context.add("new", ["new", "old 3"])
    assert await state.context.expire(DAY, batch=3) == 7
    assert await state.context.expire(DAY) == 0
    assert sorted(document.content for document in await state.context.get("new")) == ["new", "old 3"]
    assert await superuser.fetchval("select count(*) from outlive.context_contents") == 2


async def test_without_vectors_embeddings_are_refused(state: AgentState) -> None:
    """The error says what to call; nothing of the documents is kept."""
    with pytest.raises(SchemaError, match="no embeddings") as refused:
        await state.context.add("a", [NewDocument("one", embedding=[1, 2, 3])])
    assert "enable_vectors" in refused.value.hint
    with pytest.raises(SchemaError, match="no embeddings"):
        await state.context.search([1, 2, 3])
    assert await state.context.get("a") == ()


async def test_a_role_that_may_not_create_the_extension_is_told_what_to_ask_for(state: AgentState) -> None:
    """The owner of a database is no superuser; pgvector needs one."""
    with pytest.raises(SchemaError, match="may not") as refused:
        await state.context.enable_vectors(3)
    assert "CREATE EXTENSION vector" in refused.value.hint


async def test_the_nearest_come_first(with_vectors: AgentState) -> None:
    """By cosine distance, of a source or with metadata, and no more than asked for."""
    context = with_vectors.context
    await context.enable_vectors(3)
    angles = {"0": 0.0, "30": math.pi / 6, "90": math.pi / 2}
    documents = [NewDocument(n, {"n": n}, [math.cos(a), math.sin(a), 0]) for n, a in angles.items()]
    await context.add("a", [*documents, "without"])
    await context.add("b", [NewDocument("180", embedding=[-1, 0, 0])])
    found = await context.search([1, 0, 0], 3)
    assert [each.document.content for each in found] == ["0", "30", "90"]
    assert [round(each.score, 3) for each in found] == [0.0, 0.134, 1.0]
    assert [each.document.content for each in await context.search([1, 0, 0], source="b")] == ["180"]
    assert [each.document.content for each in await context.search([1, 0, 0], metadata={"n": "90"})] == ["90"]
    await context.add("a", [NewDocument("0", embedding=[0, 0, 1])])
    assert (await context.search([0, 0, 1], 1))[0].document.content == "0"
    await context.delete("a")
    assert len(await context.search([1, 0, 0])) == 1


async def test_a_filter_that_few_pass_still_finds_enough(with_vectors: AgentState) -> None:
    """The index scan goes on past the many that are nearer and don't fit."""
    near = [NewDocument(f"near {n}", {}, [1, n / 1e6, 0]) for n in range(300)]
    far = [NewDocument(f"far {n}", {"wanted": True}, [0, 1, n / 1e3]) for n in range(10)]
    await with_vectors.context.add("s", [*near, *far])
    assert len(await with_vectors.context.search([1, 0, 0], 10, metadata={"wanted": True})) == 10


async def test_an_embedding_that_does_not_fit_is_refused(with_vectors: AgentState, db: outlive.Cluster) -> None:
    """Another length, no number, no direction: typed, and nothing is kept."""
    context = with_vectors.context
    for embedding in ([1, 2], [1, 2, math.nan], [0, 0, 0], []):
        with pytest.raises(UnstorableError):
            await context.add("a", [NewDocument("one", embedding=embedding)])
        with pytest.raises(UnstorableError):
            await context.search(embedding)
    with pytest.raises(SchemaError, match="3 dimensions are kept"):
        await context.enable_vectors(4)
    assert await context.get("a") == ()
    assert await db.fetchval("select count(*) from outlive.context_contents", read="strong") == 0


async def test_bad_documents_are_refused(state: AgentState) -> None:
    """No source, a NUL, metadata that is no JSON, a length of time that is none."""
    for source, document in (("", "x"), ("a", "\0"), ("a", NewDocument("x", {"a": {1}}))):
        with pytest.raises(UnstorableError):
            await state.context.add(source, [document])
    with pytest.raises(ConfigurationError):
        await state.context.expire(timedelta())

"""Whether embeddings can be kept, and what has to be made for it.

pgvector's type carries the number of dimensions, so one table holds embeddings of one length: those of one model.
An index by HNSW takes 2,000 dimensions at most; longer ones are compared one by one.

Source: pgvector 0.8, README, "HNSW".
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_DIMENSIONS = 16_000
MAX_INDEXED_DIMENSIONS = 2_000


@dataclass(frozen=True, slots=True)
class VectorFacts:
    """What a database has: whether its server has pgvector, the schema it is in, the dimensions that are kept."""

    available: bool
    schema: str | None
    dimensions: int | None


@dataclass(frozen=True, slots=True)
class Make:
    """What has to be made; the extension first, if it is not there."""

    create_extension: bool
    schema: str
    dimensions: int
    index: bool


@dataclass(frozen=True, slots=True)
class CannotKeep:
    """Embeddings can't be kept like that."""

    reason: str
    hint: str


def plan_vectors(facts: VectorFacts, dimensions: int) -> Make | CannotKeep:
    """What makes room for embeddings of so many dimensions."""
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        return CannotKeep(f"dimensions can't be {dimensions}", f"It is a number from 1 to {MAX_DIMENSIONS}.")
    if facts.dimensions not in {None, dimensions}:
        reason = f"embeddings of {facts.dimensions} dimensions are kept, not of {dimensions}"
        return CannotKeep(reason, "Drop the table outlive.context_embeddings first, and add every document again.")
    if facts.schema is None and not facts.available:
        hint = "Install pgvector on every node, or search by words: `search_text` needs no extension."
        return CannotKeep("the server does not have pgvector", hint)
    index = dimensions <= MAX_INDEXED_DIMENSIONS
    return Make(facts.schema is None, facts.schema or "public", dimensions, index)

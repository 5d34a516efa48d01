"""Whether embeddings can be kept is decided on facts alone."""

from __future__ import annotations

import pytest

from outlive.stores.plan.vectors import CannotKeep, Make, VectorFacts, plan_vectors


@pytest.mark.parametrize(
    ("facts", "dimensions", "planned"),
    [
        (VectorFacts(True, None, None), 1536, Make(True, "public", 1536, True)),
        (VectorFacts(True, "ext", None), 2000, Make(False, "ext", 2000, True)),
        (VectorFacts(False, "ext", 3072), 3072, Make(False, "ext", 3072, False)),
    ],
)
def test_what_is_missing_is_made(facts: VectorFacts, dimensions: int, planned: Make) -> None:
    """The extension where it is not there yet, and an index as far as pgvector can."""
    assert plan_vectors(facts, dimensions) == planned


@pytest.mark.parametrize(
    ("facts", "dimensions", "reason"),
    [
        (VectorFacts(False, None, None), 3, "does not have pgvector"),
        (VectorFacts(True, "public", 4), 3, "of 4 dimensions are kept, not of 3"),
        (VectorFacts(True, "public", None), 0, "can't be 0"),
        (VectorFacts(True, "public", None), 16_001, "can't be 16001"),
    ],
)
def test_what_can_t_be_is_refused(facts: VectorFacts, dimensions: int, reason: str) -> None:
    """No extension, another length, or a length that the type can't have."""
    refused = plan_vectors(facts, dimensions)
    assert isinstance(refused, CannotKeep)
    assert reason in refused.reason

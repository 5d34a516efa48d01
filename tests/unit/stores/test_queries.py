"""The SQL files are whole: numbered without a hole, each query named and explained."""

from __future__ import annotations

from pathlib import Path

import pytest

import outlive.stores
from outlive.stores.queries import known_migrations, queries


def test_migrations_are_numbered_from_one_without_a_hole() -> None:
    """A missing number would be a migration that nobody applies."""
    assert [migration.version for migration in known_migrations()] == list(range(1, len(known_migrations()) + 1))


def test_migrations_name_the_constraint_that_may_conflict() -> None:
    """Once tenants are kept apart it has one column more, and keeps its name."""
    assert [each.name for each in known_migrations() if "ON CONFLICT (" in each.sql] == []


@pytest.mark.parametrize(
    "room", sorted(path.stem for path in Path(outlive.stores.__file__).parent.glob("sql/queries/*.sql"))
)
def test_every_query_has_a_sentence_above_it(room: str) -> None:
    """A named query says what it does."""
    assert queries(room)
    for name, text in queries(room).items():
        first, *rest = text.splitlines()
        assert first.startswith("-- "), name
        assert first.endswith("."), name
        assert any(not line.startswith("--") for line in rest), name
        assert "ON CONFLICT (" not in text, f"{name}: name the constraint, its columns may change"

"""Lists as chains of pieces, whatever is appended, cut and exchanged."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from outlive.stores.plan.sharing import Chain, Element, Leaf, Piece, inline, leaf_of, linked, stride_for, unlinked

NAMES = st.integers(0, 5).map(lambda number: UUID(int=number))
SMALL = st.binary(max_size=3).map(lambda content: Leaf("bytes", content))
LISTS = st.one_of(
    st.lists(NAMES, min_size=1, max_size=100),
    st.lists(SMALL, min_size=1, max_size=300),
    st.lists(st.one_of(NAMES, SMALL), min_size=1, max_size=300),
)


def common(one: list[Element], other: list[Element]) -> int:
    """How many elements two lists begin with together."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def by_name(pieces: list[Piece]) -> dict[UUID, Piece]:
    """Pieces as a database has them: read again from their columns."""
    return {piece.name: Piece.read(piece.base, piece.parts, piece.layout) for piece in pieces}


@given(LISTS)
def test_a_list_comes_back(elements: list[Element]) -> None:
    """Its pieces alone tell its elements, in order, and the same chain."""
    chain, pieces = linked(elements)
    assert unlinked(chain.tip, by_name(pieces)) == chain
    assert list(chain.elements) == elements


@given(LISTS, st.data())
def test_the_next_version_brings_only_what_differs(elements: list[Element], data: st.DataObject) -> None:
    """From a version that is stored, any other one is written whole: with the new pieces, the old ones give it back."""
    before, stored = linked(elements)
    kept = data.draw(st.integers(0, len(elements)))
    after = elements[:kept] + data.draw(LISTS)
    chain, pieces = linked(after, before, common(elements, after))
    assert unlinked(chain.tip, by_name(stored + pieces)) == chain
    assert unlinked(chain.tip, by_name(pieces), before) == chain
    assert chain == linked(after)[0]


@given(st.lists(NAMES, min_size=1, max_size=100), st.lists(NAMES, min_size=1, max_size=100))
def test_to_append_costs_what_is_appended(elements: list[UUID], more: list[UUID]) -> None:
    """However long a list is, what is appended writes its own elements and less than one piece more."""
    before, _ = linked(elements)
    _, pieces = linked(elements + more, before, len(elements))
    assert sum(len(piece.elements) for piece in pieces) < len(more) + before.stride + 1


@given(LISTS)
def test_a_chain_is_one(elements: list[Element]) -> None:
    """Each piece names the one before it; all but the last are full, and no chain has an empty one."""
    chain, pieces = linked(elements)
    assert [piece.base for piece in pieces] == [None, *chain.full]
    assert all(after.base == piece.name for piece, after in pairwise(pieces))
    assert all(len(piece.elements) == chain.stride for piece in pieces[:-1])
    assert 0 < len(pieces[-1].elements) <= chain.stride


@given(LISTS, st.integers(1, 400))
def test_the_stride_stays_as_a_list_grows(elements: list[Element], count: int) -> None:
    """What decides it are elements that every longer version has."""
    assert stride_for(elements[: 16 + count]) == stride_for(elements[:16])


@given(SMALL)
def test_a_small_value_comes_back(leaf: Leaf) -> None:
    """As it is, in the shape."""
    assert leaf_of(inline(leaf)) == leaf


def test_names_tell_kinds_apart() -> None:
    """A value and its type don't run into each other, nor an element and a base."""
    assert Leaf("a", b"b").name != Leaf("ab", b"").name
    one = UUID(int=1)
    assert Piece(one, (one,)).name != Piece(None, (one, one)).name
    assert isinstance(linked([one])[0], Chain)

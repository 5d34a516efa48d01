"""Values of channels from their shapes: what is remembered is not fetched, and is made again without validating it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from uuid import UUID

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from outlive.adapters.langgraph.casts import uncollected
from outlive.adapters.langgraph.images import Images, image
from outlive.adapters.langgraph.memory import Held, KnownList
from outlive.stores.objects import Contents
from outlive.stores.plan.sharing import Leaf, leaf_of, unlinked

HELD_PIECES = 2
"""The full pieces of a list that a reader names as its own: one is enough unless the list was cut."""


class Ahead:
    """Values of lists that are remembered, made while the database is still being asked whether they are up to date."""

    def __init__(self, known: Mapping[str, KnownList]) -> None:
        self._known = known
        self._values: dict[str, list[Any]] = {}

    def make(self) -> None:
        """Make each list's values, as far as there are images of what was read."""
        with uncollected():
            for path, each in self._known.items():
                self._values[path] = each.images.made(each.read)

    def take(self, path: str) -> list[Any]:
        """The values of a list, which are given out once; empty if they were not made."""
        return self._values.pop(path, [])


class Unpacking:
    """The values of one read."""

    def __init__(
        self,
        serde: SerializerProtocol,
        contents: Contents,
        known: Mapping[str, KnownList],
        ahead: Ahead | None = None,
    ) -> None:
        self._serde = serde
        self._contents = contents
        self._known = known
        self._ahead = ahead
        self._tails = {held.element: held for each in known.values() for held in _tail(each)}
        self.lists: dict[str, KnownList] = {}

    def beside(self) -> Unpacking:
        """Another one for values that stand in no channel: its lists are nobody's."""
        return Unpacking(self._serde, self._contents, self._known)

    def value(self, shape: Any, path: str) -> Any:
        """The value of a shape; each one is new, and shares nothing with another.

        Raises:
            KeyError: an object is neither among the contents nor remembered.
        """
        match shape:
            case {"snapshot": inner}:
                return _DeltaSnapshot(self.value(inner, path))
            case {"dict": dict(inner)}:
                return {key: self.value(each, f"{path}/{key}") for key, each in inner.items()}
            case {"items": list(inner)}:
                return [self.value(each, path) for each in inner]
            case {"list": str(tip)}:
                return self._list(UUID(tip), path)
            case str():
                return self._object(UUID(shape))
            case _:
                return self._loaded(leaf_of(shape))

    def _list(self, tip: UUID, path: str) -> list[Any]:
        before = self._known.get(path)
        chain = unlinked(tip, self._contents.pieces, None if before is None else before.chain)
        count = 0 if before is None else _shared(before, chain.elements)
        held = [] if before is None else before.held[:count]
        for element in islice(chain.elements, count, None):
            held.append(self._tails.get(element) or Held(element, self._leaf(element)))
        ready = [] if self._ahead is None else self._ahead.take(path)[:count]
        values = ready + self._values(held[len(ready) :])
        images = Images() if before is None else before.images
        same = 0 if before is None else images.settled(min(before.read, count))
        read = [each.read for each in held[same:]]
        known = same + next((place for place, each in enumerate(read) if each is None), len(read))
        self.lists[path] = KnownList(chain, held, images.followed_by(same, read), known)
        return values

    def _object(self, name: UUID) -> Any:
        held = self._tails.get(name)
        return self._loaded(self._contents.leaves[name]) if held is None else self._values([held])[0]

    def _leaf(self, element: UUID | Leaf) -> Leaf:
        return element if isinstance(element, Leaf) else self._contents.leaves[element]

    def _values(self, held: list[Held]) -> list[Any]:
        """New values of elements: loaded where there is no image of one yet."""
        with uncollected():
            return [self._first(each) if each.read is None else each.read.made() for each in held]

    def _first(self, held: Held) -> Any:
        """The value of an element that was not loaded before, and its image from now on."""
        assert held.leaf is not None
        value = self._loaded(held.leaf)
        held.read = image(value)
        if held.read is not None and isinstance(held.element, UUID):
            held.leaf = None  # it is stored, and what it says is in the image
        return value

    def _loaded(self, leaf: Leaf) -> Any:
        return self._serde.loads_typed((leaf.type, leaf.content))


def held_names(lists: Mapping[str, KnownList]) -> list[UUID]:
    """The objects that need not be fetched: the last pieces of the lists, and the elements of what follows them."""
    return [name for each in lists.values() for name in _names(each)]


def _names(known: KnownList) -> Iterator[UUID]:
    yield known.chain.tip
    yield from known.chain.full[-HELD_PIECES:]
    yield from (each.element for each in _tail(known) if isinstance(each.element, UUID))


def _tail(known: KnownList) -> list[Held]:
    """The elements of the last pieces, which a piece that takes the last one's place has again."""
    start = max(0, len(known.chain.full) - HELD_PIECES) * known.chain.stride
    return known.held[start:]


def _shared(before: KnownList, elements: tuple[UUID | Leaf, ...]) -> int:
    """How many elements of a list are those that are remembered."""
    for place, (mine, theirs) in enumerate(zip(before.chain.elements, elements, strict=False)):
        if mine is not theirs and mine != theirs:
            return place
    return min(len(before.held), len(elements))

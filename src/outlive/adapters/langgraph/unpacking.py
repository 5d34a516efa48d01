"""Values of channels from their shapes: what is remembered is not fetched, and is made again without validating it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any
from uuid import UUID

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from outlive.adapters.langgraph.casts import uncollected
from outlive.adapters.langgraph.images import Image, Images
from outlive.adapters.langgraph.memory import NOTHING, KnownList
from outlive.stores.objects import Contents
from outlive.stores.plan.sharing import Element, Leaf, leaf_of, unlinked

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
        self.lists: dict[str, KnownList] = {}

    @cached_property
    def _tails(self) -> dict[Element, Leaf | Image]:
        return dict(pair for each in self._known.values() for pair in _tails(each))

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
                return self._made(leaf_of(shape))

    def _list(self, tip: UUID, path: str) -> list[Any]:
        before = self._known.get(path, NOTHING)
        chain = unlinked(tip, self._contents.pieces, before.chain)
        count = before.chain.shared(chain)
        same = min(before.read, count)
        ready = [] if self._ahead is None else self._ahead.take(path)[:same]
        kept = [before.at(place) for place in range(same, count)]
        kept += [self._tails.get(element) or self._leaf(element) for element in chain.elements[count:]]
        with uncollected():
            ready = ready or before.images.made(same)
            values = list(map(self._made, kept))
            images = Images.of(values)
        # What has an image is not needed as it was stored.
        unseen = images.unseen()
        leaves = [each if at in unseen and isinstance(each, Leaf) else None for at, each in enumerate(kept)]
        known = before.leaves[:same] + leaves, before.images.followed_by(same, images)
        self.lists[path] = KnownList(chain, *known, same + min(unseen, default=len(kept)))
        return ready + values

    def _object(self, name: UUID) -> Any:
        return self._made(self._tails.get(name) or self._contents.leaves[name])

    def _leaf(self, element: Element) -> Leaf:
        return element if isinstance(element, Leaf) else self._contents.leaves[element]

    def _made(self, kept: Leaf | Image) -> Any:
        return self._serde.loads_typed(kept) if isinstance(kept, Leaf) else kept.made()


def held_names(lists: Mapping[str, KnownList]) -> list[UUID]:
    """The objects that need not be fetched: the last pieces of the lists, and the elements of what follows them."""
    return [name for each in lists.values() for name in _names(each)]


def _names(known: KnownList) -> Iterator[UUID]:
    yield known.chain.tip
    yield from known.chain.full[-HELD_PIECES:]
    yield from (each for each in known.chain.elements[_tail(known) :] if isinstance(each, UUID))


def _tail(known: KnownList) -> int:
    """Where the last pieces begin, whose elements a piece that takes the last one's place has again."""
    return max(0, len(known.chain.full) - HELD_PIECES) * known.chain.stride


def _tails(known: KnownList) -> Iterator[tuple[Element, Leaf | Image]]:
    for place in range(_tail(known), len(known.leaves)):
        yield known.chain.elements[place], known.at(place)

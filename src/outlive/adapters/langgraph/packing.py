"""Values of channels as shapes and objects: what is serialized anew is what has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from outlive.adapters.langgraph.images import Images
from outlive.adapters.langgraph.memory import NOTHING, KnownList
from outlive.errors import UnstorableError
from outlive.stores.objects import Parcel
from outlive.stores.plan.sharing import (
    INLINE_BYTES,
    Chain,
    Element,
    Leaf,
    Piece,
    common_beginning,
    inline,
    linked,
    named,
)

MAX_DICT = 32
"""The most keys of a dictionary whose values are stored apart from each other."""

MAX_DEPTH = 2
"""How deep dictionaries are taken apart."""

MAX_ITEMS = 2
"""A list of so many elements at most is written into the shape, without a piece of its own."""

_NUMBERS = frozenset({int, float, bool, complex})


class Packing:
    """The shapes of the values of one write, and what they bring along."""

    def __init__(
        self,
        serde: SerializerProtocol,
        max_value_bytes: int,
        is_stored: Callable[[UUID], bool],
        known: Mapping[str, KnownList],
    ) -> None:
        self._serde = serde
        self._max_value_bytes = max_value_bytes
        self._is_stored = is_stored
        self._known = known
        self.parcel = Parcel()
        self.lists: dict[str, KnownList] = {}

    def again(self, shape: Any) -> Any:
        """The shape of a value that is stored and hasn't changed."""
        self.parcel.believed.update(named(shape))
        return shape

    def shape(self, value: Any, path: str, depth: int = 0) -> Any:
        """The shape of a value; `path` is where it stands in the state.

        Raises:
            UnstorableError: it can't be serialized, or is too large.
        """
        if isinstance(value, _DeltaSnapshot):
            return {"snapshot": self.shape(value.value, path, depth)}
        kind = type(value)
        if kind is list and value and type(value[0]) not in _NUMBERS:
            return self._list(value, path)
        if kind is dict and depth < MAX_DEPTH and 0 < len(value) <= MAX_DICT and all(type(k) is str for k in value):
            return self._dict(value, path, depth)
        return self._leaf(value, path)

    def _leaf(self, value: Any, path: str) -> Any:
        return self._placed(self._serialized(value, path))

    def _placed(self, leaf: Leaf) -> Any:
        if len(leaf.content) <= INLINE_BYTES:
            return inline(leaf)
        name = leaf.name
        self.parcel.add(name, leaf, is_stored=self._is_stored)
        return name.hex

    def _dict(self, value: dict[str, Any], path: str, depth: int) -> Any:
        shapes = {key: self.shape(inner, f"{path}/{key}", depth + 1) for key, inner in value.items()}
        if all(isinstance(shape, list) for shape in shapes.values()):
            return self._leaf(value, path)
        return {"dict": shapes}

    def _list(self, value: list[Any], path: str) -> Any:
        if len(value) <= MAX_ITEMS:
            items = [self._serialized(each, path) for each in value]
            if all(len(leaf.content) <= INLINE_BYTES for leaf in items):
                return self._leaf(value, path)
            return {"items": [self._placed(leaf) for leaf in items]}
        before = self._known.get(path, NOTHING)
        length = len(before.leaves)
        count = length if length and before.images.are_of(value[:length]) else 0
        images = Images.of(value[count:])
        # Where nothing was taken away, what follows is new; else it may have stood elsewhere.
        more = self._elements(value[count:], images, NOTHING if count else before, path)
        elements = [*before.chain.elements[:count], *more[0]]
        leaves: list[Leaf | None] = [*before.leaves[:count], *more[1]]
        common = count + common_beginning(before.chain.elements[count:], elements[count:])
        chain, pieces = linked(elements, before.chain, common)
        start = common - common % chain.stride
        leaves_of = dict(zip(elements[start:], leaves[start:], strict=True))
        for piece in pieces:
            self._carry(piece, before.chain, leaves_of)
        shown = before.images.followed_by(count, images)
        self.lists[path] = KnownList(chain, leaves, shown, min(before.read, count))
        return {"list": chain.tip.hex}

    def _carry(self, piece: Piece, before: Chain, leaves: Mapping[Element, Leaf | None]) -> None:
        if piece.base is not None:
            self.parcel.believed.add(piece.base)
        name = piece.name
        if name == before.tip or name in before.full:
            self.parcel.believed.add(name)
            return
        self.parcel.objects[name] = piece
        for part in piece.parts:
            leaf = leaves[part]
            if leaf is None:
                self.parcel.believed.add(part)
            else:
                self.parcel.add(part, leaf, is_stored=self._is_stored)

    def _elements(
        self, values: list[Any], images: Images, before: KnownList, path: str
    ) -> tuple[list[Element], list[Leaf | None]]:
        """The element and the leaf of each value, taken from the list before if its state is the same."""
        known = {seen.key: (place, seen) for place, seen in before.images.each()}
        elements: list[Element] = []
        leaves: list[Leaf | None] = []
        for at, value in enumerate(values):
            seen = images.at(at) if known else None
            place, found = (0, None) if seen is None else known.get(seen.key, (0, None))
            if seen is not None and found == seen:
                elements.append(before.chain.elements[place])
                leaves.append(before.leaves[place])
            else:
                leaf = self._serialized(value, path)
                elements.append(leaf if len(leaf.content) <= INLINE_BYTES else leaf.name)
                leaves.append(leaf)
        return elements, leaves

    def _serialized(self, value: Any, path: str) -> Leaf:
        try:
            leaf = Leaf(*self._serde.dumps_typed(value))
        except Exception as error:
            raise UnstorableError(f"the value of {path!r} can't be serialized: {error}") from error
        if len(leaf.content) > self._max_value_bytes:
            raise UnstorableError(
                f"the value of {path!r} has {len(leaf.content):,} bytes, the limit is {self._max_value_bytes:,} bytes",
                hint="Keep large content elsewhere and a reference to it in the state, or raise max_value_bytes.",
            )
        return leaf

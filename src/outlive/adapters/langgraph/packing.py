"""Values of channels as shapes and objects: what is serialized anew is what has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from outlive.adapters.langgraph.images import Image, Images, image
from outlive.adapters.langgraph.memory import Held, KnownList
from outlive.errors import UnstorableError
from outlive.stores.objects import Parcel
from outlive.stores.plan.sharing import INLINE_BYTES, Leaf, Piece, inline, linked, named

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
            leaves = [self._serialized(each, path) for each in value]
            if all(len(leaf.content) <= INLINE_BYTES for leaf in leaves):
                return self._leaf(value, path)
            return {"items": [self._placed(leaf) for leaf in leaves]}
        before = self._known.get(path)
        length = 0 if before is None else len(before.held)
        count = length if before is not None and before.images.are_of(value[:length]) else 0
        images = [image(each) for each in value[count:]]
        if count:
            # A list that grows is compared again and again; one that is new as a whole may be seen once.
            for seen in images:
                if seen is not None:
                    seen.lay_out()
        held = [] if before is None else before.held[:count]
        # Where nothing was taken away, what follows is new; else it may have stood elsewhere.
        held += self._held(value[count:], images, None if count else before, path)
        common = _common(held, before, count)
        chain, pieces = linked([each.element for each in held], None if before is None else before.chain, common)
        stored = {} if before is None else before.chain.lengths()
        leaves_of = {each.element: each.leaf for each in held[common - common % chain.stride :]}
        for piece in pieces:
            self._carry(piece, stored, leaves_of)
        shown = (Images() if before is None else before.images).followed_by(count, images)
        self.lists[path] = KnownList(chain, held, shown, 0 if before is None else min(before.read, count))
        return {"list": chain.tip.hex}

    def _carry(self, piece: Piece, stored: Mapping[UUID, int], leaves: Mapping[Any, Leaf | None]) -> None:
        if piece.base is not None:
            self.parcel.believed.add(piece.base)
        name = piece.name
        if name in stored:
            self.parcel.believed.add(name)
            return
        self.parcel.objects[name] = piece
        for part in piece.parts:
            leaf = leaves[part]
            if leaf is None:
                self.parcel.believed.add(part)
            else:
                self.parcel.add(part, leaf, is_stored=self._is_stored)

    def _held(self, values: list[Any], images: list[Image | None], before: KnownList | None, path: str) -> list[Held]:
        """Each element, taken from the list before if its state is the same, else serialized."""
        known = {} if before is None else _by_state(before)
        held: list[Held] = []
        for value, seen in zip(values, images, strict=True):
            image_of, found = known.get(seen.state, (None, None)) if seen is not None else (None, None)
            if seen is None or image_of is None or found is None or not image_of.is_like(seen):
                leaf = self._serialized(value, path)
                found = Held(leaf if len(leaf.content) <= INLINE_BYTES else leaf.name, leaf)
            held.append(found)
        return held

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


def _common(held: list[Held], before: KnownList | None, known: int) -> int:
    """How many elements two lists have in common at their beginning; so many are known to be."""
    elements = () if before is None else before.chain.elements
    for place in range(known, min(len(held), len(elements))):
        if held[place].element != elements[place]:
            return place
    return min(len(held), len(elements))


def _by_state(known: KnownList) -> dict[bytes, tuple[Image, Held]]:
    pairs = zip(known.images.each, known.held, strict=True)
    return {shown.state: (shown, held) for shown, held in pairs if shown is not None}

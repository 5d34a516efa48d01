"""What a version of a value consists of, so that two versions store once what they have in common.

A value becomes a *shape* of JSON, small enough to be written with each version, and objects that the shape names:

    "5f2c..."                  the object of that name, serialized as one
    ["msgpack", "gaFh..."]     a small value as it is: how it is serialized, and its bytes in base64
    {"list": "9b1e..."}        a list, by the name of its last piece
    {"items": [..., ...]}      a list of one or two elements, each with a shape of its own
    {"dict": {"a": ...}}       a dictionary, each value with a shape of its own
    {"snapshot": ...}          a value that LangGraph marks as a snapshot of a channel

An object is named by its content, so equal content has one name, whoever writes it and when. A list is a chain of
pieces: each has the name of the piece before it and up to `stride` elements, and all pieces but the last are full.
To append is to write the last piece anew, and a full one stays for ever: what a version of a list costs depends on
what was appended and not on how long the list is. A change in the middle writes anew the pieces behind it, which are
a name an element and no content.

Invariant, which tests/property/stores/test_sharing.py checks: two lists that begin with the same `n` elements share
all pieces that lie within those `n`, and pieces give back the elements that they were made of.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

INLINE_BYTES = 64
"""A value of so many bytes at most is written as it is: a name and its row would take more."""

SMALL_STRIDE = 16
"""Elements of a piece where each is an object: a version that appends writes half of so many names on average."""

LARGE_STRIDE = 128
"""Elements of a piece where they are small and written as they are."""


class Leaf(NamedTuple):
    """A value that was serialized as one: in which way, and its bytes. A tuple: a load makes thousands."""

    type: str
    content: bytes

    @property
    def name(self) -> UUID:
        """What it is stored as."""
        return _name(b"leaf", self.type.encode() + b"\0" + self.content)


Element = UUID | Leaf
"""An element of a list: the name of an object, or a small value as it is."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some elements of a list, after those of the piece named `base`."""

    base: UUID | None
    elements: tuple[Element, ...]

    @property
    def name(self) -> UUID:
        """What it is stored as."""
        parts = [b"\0" * 16 if self.base is None else self.base.bytes]
        parts += [b"\0" + each.bytes if isinstance(each, UUID) else b"\1" + each.name.bytes for each in self.elements]
        return _name(b"piece", b"".join(parts))

    @property
    def parts(self) -> list[UUID]:
        """The objects among the elements."""
        return [element for element in self.elements if isinstance(element, UUID)]

    @property
    def layout(self) -> bytes | None:
        """How the elements lie: an object by its place among the parts; None where all are objects."""
        if len(self.parts) == len(self.elements):
            return None
        places = iter(range(len(self.elements)))
        return dumps([next(places) if isinstance(each, UUID) else inline(each) for each in self.elements]).encode()

    @classmethod
    def read(cls, base: UUID | None, parts: Sequence[UUID], layout: bytes | None) -> Piece:
        """The piece again."""
        if layout is None:
            return cls(base, tuple(parts))
        places = json.loads(layout)
        return cls(base, tuple(parts[each] if isinstance(each, int) else leaf_of(each) for each in places))


@dataclass(frozen=True, slots=True)
class Chain:
    """A list as a chain: its elements, the names of its full pieces that others follow, and of the last piece."""

    elements: tuple[Element, ...]
    stride: int
    full: tuple[UUID, ...]
    tip: UUID

    def lengths(self) -> dict[UUID, int]:
        """How many elements a reader has who has everything up to a piece, by its name."""
        known = {name: self.stride * number for number, name in enumerate(self.full, 1)}
        known[self.tip] = len(self.elements)
        return known

    def shared(self, other: Chain) -> int:
        """How many elements two lists have in common at their beginning."""
        pieces = common_beginning(self.full, other.full) if self.stride == other.stride else 0
        start = pieces * self.stride
        return start + common_beginning(self.elements[start:], other.elements[start:])


EMPTY = Chain((), SMALL_STRIDE, (), UUID(int=0))
"""A list without elements, which is never stored as one: no piece has its name."""


def stride_for(elements: Sequence[Element]) -> int:
    """How many elements the pieces of a list have; its first ones decide, so that it stays as the list grows."""
    first = elements[:SMALL_STRIDE]
    return SMALL_STRIDE if 2 * sum(isinstance(each, UUID) for each in first) >= len(first) else LARGE_STRIDE


def linked(elements: Sequence[Element], before: Chain = EMPTY, common: int = 0) -> tuple[Chain, list[Piece]]:
    """The chain of a list that is not empty, and those of its pieces that may be new.

    The list begins with the first `common` elements of the one `before`: their full pieces are taken as they are.
    """
    stride = stride_for(elements)
    full = list(before.full[: common // stride]) if before.stride == stride else []
    pieces: list[Piece] = []
    while True:
        start = len(full) * stride
        pieces.append(Piece(full[-1] if full else None, tuple(elements[start : start + stride])))
        if start + stride >= len(elements):
            break
        full.append(pieces[-1].name)
    return Chain(tuple(elements), stride, tuple(full), pieces[-1].name), pieces


def unlinked(tip: UUID, pieces: Mapping[UUID, Piece], known: Chain = EMPTY) -> Chain:
    """The chain that ends with the piece `tip`; what lies before the pieces that are given is in the chain `known`.

    Raises:
        KeyError: a piece is in neither.
    """
    lengths = known.lengths()
    line: list[Piece] = []
    names: list[UUID] = []
    at: UUID | None = tip
    while at is not None and at not in lengths:
        line.append(pieces[at])
        names.append(at)
        at = pieces[at].base
    held = () if at is None else known.elements[: lengths[at]]
    elements = held + tuple(chain.from_iterable(piece.elements for piece in reversed(line)))
    stride = stride_for(elements)
    before = () if at is None else known.full[: len(held) // stride]
    if at is not None and len(before) * stride < len(held) and line:
        before = (*before, at)
    full = (*before, *reversed(names[1:])) if line else before
    return Chain(elements, stride, full, tip)


def inline(leaf: Leaf) -> list[str]:
    """The shape of a small value."""
    return [leaf.type, base64.b64encode(leaf.content).decode()]


def leaf_of(shape: Sequence[str]) -> Leaf:
    """The small value of a shape."""
    return Leaf(shape[0], base64.b64decode(shape[1]))


def named(shape: Any) -> Iterator[UUID]:
    """The objects that a shape names."""
    match shape:
        case str():
            yield UUID(shape)
        case {"list": str(tip)}:
            yield UUID(tip)
        case {"items": list(inner)}:
            for each in inner:
                yield from named(each)
        case {"dict": dict(inner)}:
            for each in inner.values():
                yield from named(each)
        case {"snapshot": inner}:
            yield from named(inner)
        case _:
            return


def dumps(value: object) -> str:
    """JSON without spaces, and without characters that the database can't hold."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def common_beginning(these: Sequence[object], those: Sequence[object]) -> int:
    """How many elements two sequences have in common at their beginning."""
    for place, (mine, theirs) in enumerate(zip(these, those, strict=False)):
        if mine is not theirs and mine != theirs:
            return place
    return min(len(these), len(those))


def _name(kind: bytes, content: bytes) -> UUID:
    return UUID(bytes=blake2b(content, digest_size=16, person=kind).digest())

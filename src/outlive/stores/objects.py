"""What a write carries of objects: those that it brings, and those that it believes to be stored already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from uuid import UUID

import asyncpg

from outlive.stores.plan.sharing import Leaf, Piece

_DIGEST, _TYPE, _CONTENT = -5, -4, -3
_stored = itemgetter(_TYPE, _CONTENT)
_leaf: Callable[[tuple[str, bytes]], Leaf] = partial(tuple.__new__, Leaf)
"""A leaf of what it consists of: in a loop over thousands, without a call of Python's for each."""

Columns = tuple[list[UUID], list[str | None], list[bytes | None], list[UUID | None], list[str | None], list[UUID]]


@dataclass(slots=True)
class Parcel:
    """Objects by their names, and names that the database has to know: it refuses the write if it doesn't."""

    objects: dict[UUID, Leaf | Piece] = field(default_factory=dict)
    believed: set[UUID] = field(default_factory=set)

    def add(self, name: UUID, content: Leaf | Piece, *, is_stored: Callable[[UUID], bool]) -> None:
        """Take an object along, or trust that it is stored."""
        if is_stored(name):
            self.believed.add(name)
        else:
            self.objects[name] = content

    @property
    def size_bytes(self) -> int:
        """What its values have, about."""
        return sum(len(each.content) if isinstance(each, Leaf) else 20 * len(each.elements) for each in self.contents)

    @property
    def contents(self) -> Iterable[Leaf | Piece]:
        """The objects that it brings."""
        return self.objects.values()

    def columns(self) -> Columns:
        """The columns of `outlive.keep_objects`."""
        return (
            list(self.objects),
            [each.type if isinstance(each, Leaf) else None for each in self.contents],
            [each.content if isinstance(each, Leaf) else each.layout for each in self.contents],
            [None if isinstance(each, Leaf) else each.base for each in self.contents],
            [None if isinstance(each, Leaf) else array(each.parts) for each in self.contents],
            list(self.believed - self.objects.keys()),
        )


@dataclass(slots=True)
class Contents:
    """Objects as they were read, by their names."""

    leaves: dict[UUID, Leaf] = field(default_factory=dict)
    pieces: dict[UUID, Piece] = field(default_factory=dict)

    def take(self, rows: Sequence[asyncpg.Record]) -> None:
        """Take the objects of rows whose last columns are those of `outlive.read_objects`."""
        self.leaves.update({row[_DIGEST]: _leaf(_stored(row)) for row in rows if row[_TYPE] is not None})
        for row in rows:
            if row[_TYPE] is None and row[_DIGEST] is not None:
                _, _, content, base, parts = row[_DIGEST:]
                self.pieces[row[_DIGEST]] = Piece.read(base, parts, content)


def array(names: Sequence[UUID]) -> str:
    """Names as the text of an array, for a column whose arrays are not of one length."""
    return "{" + ",".join(name.hex for name in names) + "}"

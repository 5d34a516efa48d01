"""Values as images of their state: to tell that one hasn't changed, and to make it again without validating it.

A graph hands its saver the whole list of messages with each checkpoint, and each of its runs begins by loading it.
To serialize a thousand messages takes ten milliseconds or more, to validate them three times that; to compare and to
copy their state takes one. It is the whole state, nested containers included, so a message that was changed in place
is told from one that wasn't, and a value that is made again shares nothing with another but what can't be changed.

What has no such image (objects within objects, subclasses of the builtin types, private attributes) is serialized
and validated each time.

Source: CPython documentation, `marshal`: version 2 neither interns nor refers back, equal state gives equal bytes.
"""

from __future__ import annotations

import marshal
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from outlive.adapters.langgraph.casts import Cast, cast_for, given_state

_VERSION = 2
_BUILTIN = frozenset({str, bytes, int, float, bool, type(None), list, tuple, dict})
_TEXT = frozenset({str, type(None)})
_EMPTY = frozenset({dict, list})
_EXTRA = attrgetter("__pydantic_extra__")
_FIELDS = attrgetter("__pydantic_fields_set__")
_PLAIN: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


class Flat(NamedTuple):
    """The state of a model that holds nothing but text, nothing, and what is empty.

    Equal ones are the same, as states with 1 and True are not, and many are made at once.
    """

    cast: Cast
    attributes: dict[str, Any]

    @property
    def key(self) -> object:
        """What images that are equal have in common, and few others have."""
        return self.cast, *filter(None, self.attributes.values())

    @property
    def size_bytes(self) -> int:
        """What it takes to remember it, about."""
        return 400 + sum(map(len, filter(None, self.attributes.values())))

    def made(self) -> Any:
        """A new value with this state."""
        return self.cast.values([self.attributes])[0]


@dataclass(frozen=True, slots=True)
class Deep:
    """The state of any other value, as bytes: equal ones are the same. `fields` are those of a model that were set."""

    kind: type[Any]
    state: bytes
    fields: frozenset[str] = frozenset()

    def is_of(self, value: Any) -> bool:
        """Whether it is the image of this value as it is now."""
        return type(value) is self.kind and _state(value) == self.state

    @property
    def key(self) -> object:
        """What images that are equal have in common, and few others have."""
        return self.state

    @property
    def size_bytes(self) -> int:
        """What it takes to remember it, about."""
        return 200 + len(self.state)

    def made(self) -> Any:
        """A new value with this state."""
        state = marshal.loads(self.state)  # noqa: S302 - bytes that were made here, in this process
        if self.kind in _BUILTIN:
            return state
        attributes, extra = state
        return given_state(self.kind, attributes, extra, self.fields)


Image = Flat | Deep


@dataclass(slots=True)
class Alike:
    """Those images of a list that have one cast: where they stand, and their attributes."""

    places: list[int] = field(default_factory=list)
    attributes: list[dict[str, Any]] = field(default_factory=list)

    def first(self, count: int) -> Alike:
        """Those among the first so many of the list."""
        cut = bisect_left(self.places, count)
        return Alike(self.places[:cut], self.attributes[:cut])

    def add(self, more: Alike, count: int) -> None:
        """Take in those of another list that follows the first so many."""
        self.places += [count + place for place in more.places] if count else more.places
        self.attributes += more.attributes

    def are_of(self, values: Sequence[Any]) -> bool:
        """Whether these are the attributes of the values at their places, and nothing was added to any."""
        mine = [values[place] for place in self.places]
        return [value.__dict__ for value in mine] == self.attributes and not any(map(_EXTRA, mine))


@dataclass(slots=True)
class Images:
    """The images of a list's elements, laid out so that many are taken, compared and made at once."""

    kinds: list[type] = field(default_factory=list)
    flat: dict[Cast, Alike] = field(default_factory=dict)
    deep: dict[int, Deep | None] = field(default_factory=dict)
    """Those that are compared one by one, by their places; None where there is none."""

    @classmethod
    def of(cls, values: Sequence[Any]) -> Images:
        """The images of values as they are now."""
        images = cls(list(map(type, values)))
        for kind in dict.fromkeys(images.kinds):
            places = [place for place, each in enumerate(images.kinds) if each is kind]
            for cast, mine in _by_cast(kind, values, places).items():
                if cast is None:
                    images.deep.update((place, _deep(values[place])) for place in mine)
                else:
                    images.flat[cast] = Alike(mine, [cast.attributes(values[place]) for place in mine])
        return images

    def at(self, place: int) -> Image | None:
        """The image that stands there."""
        if place in self.deep:
            return self.deep[place]
        for cast, alike in self.flat.items():
            at = bisect_left(alike.places, place)
            if at < len(alike.places) and alike.places[at] == place:
                return Flat(cast, alike.attributes[at])
        return None

    def unseen(self) -> set[int]:
        """The places of those values that have no image."""
        return {place for place, deep in self.deep.items() if deep is None}

    def each(self) -> Iterator[tuple[int, Image]]:
        """All there are, with their places."""
        for cast, alike in self.flat.items():
            for place, attributes in zip(alike.places, alike.attributes, strict=True):
                yield place, Flat(cast, attributes)
        yield from ((place, deep) for place, deep in self.deep.items() if deep is not None)

    def followed_by(self, count: int, more: Images) -> Images:
        """The first so many of these, and more."""
        images = Images(
            self.kinds[:count] + more.kinds,
            {cast: alike.first(count) for cast, alike in self.flat.items()},
            {place: deep for place, deep in self.deep.items() if place < count},
        )
        for cast, alike in more.flat.items():
            images.flat.setdefault(cast, Alike()).add(alike, count)
        images.deep.update((count + place, deep) for place, deep in more.deep.items())
        return images

    def made(self, count: int) -> list[Any]:
        """New values with the state of the first so many, each of which has an image."""
        values: list[Any] = [None] * count
        for cast, alike in self.flat.items():
            mine = alike.first(count)
            for place, value in zip(mine.places, cast.values(mine.attributes), strict=True):
                values[place] = value
        for place, deep in self.deep.items():
            if place < count and deep is not None:
                values[place] = deep.made()
        return values

    def are_of(self, values: Sequence[Any]) -> bool:
        """Whether these are the images of so many values, as they are now."""
        return (
            list(map(type, values)) == self.kinds
            and all(alike.are_of(values) for alike in self.flat.values())
            and all(deep is not None and deep.is_of(values[place]) for place, deep in self.deep.items())
        )


def _by_cast(kind: type[Any], values: Sequence[Any], places: list[int]) -> dict[Cast | None, list[int]]:
    """The places of the values of one class by their cast, None for those that are not flat."""
    if not _is_plain_model(kind):
        return {None: places}
    mine = [values[place] for place in places]
    attributes = [value.__dict__ for value in mine]
    if len(set(map(tuple, attributes))) > 1:
        return {None: places}
    empties, deep = _empties(attributes)
    extras = list(map(_EXTRA, mine))
    deep.update(at for at, extra in enumerate(extras) if extra)
    fields = list(map(frozenset, map(_FIELDS, mine)))
    casts = {each: cast_for(kind, each, empties, has_extra=extras[0] is not None) for each in set(fields)}
    if len(casts) == 1 and not deep:
        return dict.fromkeys(casts.values(), places)
    found: dict[Cast | None, list[int]] = {}
    for at, place in enumerate(places):
        found.setdefault(None if at in deep else casts[fields[at]], []).append(place)
    return found


def _empties(attributes: list[dict[str, Any]]) -> tuple[tuple[tuple[str, type], ...], set[int]]:
    """Which attributes hold something empty in all values that are flat, and which values are not."""
    empties: list[tuple[str, type]] = []
    deep: set[int] = set()
    for name, column in zip(attributes[0], zip(*map(dict.values, attributes), strict=True), strict=True):
        kinds = set(map(type, column))
        if len(kinds) == 1 and kinds <= _EMPTY:
            empties.append((name, kinds.pop()))
            deep.update(at for at, each in enumerate(column) if each)
        elif not kinds <= _TEXT:
            deep.update(at for at, each in enumerate(column) if type(each) not in _TEXT)
    return tuple(empties), deep


def _deep(value: Any) -> Deep | None:
    kind, state = type(value), _state(value)
    if state is None:
        return None
    return Deep(kind, state, frozenset() if kind in _BUILTIN else frozenset(value.__pydantic_fields_set__))


def _state(value: Any) -> bytes | None:
    try:
        if type(value) in _BUILTIN:
            return marshal.dumps(value, _VERSION)
        if _is_plain_model(type(value)):
            return marshal.dumps((value.__dict__, value.__pydantic_extra__), _VERSION)
    except ValueError:
        pass
    return None


def _is_plain_model(kind: type) -> bool:
    """Whether all that instances of a class have is their fields."""
    known = _PLAIN.get(kind)
    if known is None:
        known = _PLAIN[kind] = issubclass(kind, BaseModel) and not kind.__private_attributes__
    return known

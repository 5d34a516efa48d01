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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from outlive.adapters.langgraph.casts import Cast, cast_for

_VERSION = 2
_SCALARS = frozenset({str, bytes, int, float, bool, type(None)})
_BUILTIN = _SCALARS | {list, tuple, dict}
_EMPTY: dict[type, Callable[[], Any]] = {dict: dict, list: list}
_PLAIN: WeakKeyDictionary[type, bool] = WeakKeyDictionary()
_set = object.__setattr__


@dataclass(slots=True)
class Image:
    """The state of a value of a class; `fields` are those of a model that were set.

    What makes copies quick is laid out when the first one is asked for: most values are read once.
    """

    kind: type[Any]
    state: bytes
    fields: frozenset[str] = frozenset()
    attributes: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    fresh: tuple[tuple[str, Callable[[], Any]], ...] = ()
    """What a copy of the attributes needs anew, and how it is made."""
    is_flat: bool = False
    """Whether all in it is known to be text, nothing or empty: then equal is the same, as 1 and True are not."""
    cast: Cast | None = None
    """With what many of its kind are made at once, if all in it is flat."""

    def is_of(self, value: Any) -> bool:
        """Whether it is the image of this value as it is now."""
        return type(value) is self.kind and _state(value) == self.state

    def is_like(self, other: Image) -> bool:
        """Whether the two are of one class and have the same state."""
        return self.kind is other.kind and self.state == other.state

    def made(self) -> Any:
        """A new value with this state."""
        if self.kind in _BUILTIN:
            return marshal.loads(self.state)  # noqa: S302 - bytes that were made here, in this process
        attributes = self._laid_out().copy()
        for name, make in self.fresh:
            attributes[name] = make()
        kind: Any = self.kind
        value = kind.__new__(kind)
        # As pydantic's own `__setstate__` does it.
        _set(value, "__dict__", attributes)
        _set(value, "__pydantic_extra__", None if self.extra is None else _copied(self.extra))
        _set(value, "__pydantic_fields_set__", set(self.fields))
        _set(value, "__pydantic_private__", None)
        return value

    def lay_out(self) -> Image:
        """Get ready to be compared and copied often."""
        if self.kind not in _BUILTIN:
            self._laid_out()
        return self

    def _laid_out(self) -> dict[str, Any]:
        if self.attributes is None:
            self.attributes, self.extra = marshal.loads(self.state)  # noqa: S302
            inner = [(name, each) for name, each in self.attributes.items() if type(each) not in _SCALARS]
            self.fresh = tuple((name, _maker(each)) for name, each in inner)
            self.is_flat = not self.extra and all(map(_is_flat, self.attributes.values()))
            if self.is_flat:
                empties = tuple((name, type(each)) for name, each in inner)
                self.cast = cast_for(self.kind, self.fields, empties, has_extra=self.extra is not None)
        return self.attributes


def image(value: Any) -> Image | None:
    """The image of a value as it is now, None if it has none."""
    kind, state = type(value), _state(value)
    if state is None:
        return None
    return Image(kind, state, frozenset() if kind in _BUILTIN else frozenset(value.__pydantic_fields_set__))


@dataclass(slots=True)
class Images:
    """The images of a list's elements, laid out so that many are compared at once."""

    each: list[Image | None] = field(default_factory=list)
    kinds: list[type] = field(default_factory=list)
    attributes: list[dict[str, Any] | None] = field(default_factory=list)
    extras: list[dict[str, Any] | None] = field(default_factory=list)
    deep: list[int] = field(default_factory=list)
    """Where those stand that are compared one by one."""
    casts: list[Cast | None] = field(default_factory=list)
    """With what those are made that are made many at once."""

    def followed_by(self, count: int, more: Iterable[Image | None]) -> Images:
        """The first so many of these, and more."""
        deep = [place for place in self.deep if place < count]
        columns = self.each[:count], self.kinds[:count], self.attributes[:count], self.extras[:count]
        images = Images(*columns, deep, self.casts[:count])
        for added in more:
            flat = added if added is not None and added.is_flat else None
            if flat is None:
                deep.append(len(images.each))
            images.each.append(added)
            images.kinds.append(type(None) if added is None else added.kind)
            images.attributes.append(None if flat is None else flat.attributes)
            images.extras.append(None if flat is None else flat.extra)
            images.casts.append(None if flat is None else flat.cast)
        return images

    def made(self, count: int) -> list[Any]:
        """New values with the state of the first so many, each of which has an image."""
        values: list[Any] = [None] * count
        for cast, places in self._places(count).items():
            if cast is None:
                made = [None if (each := self.each[place]) is None else each.made() for place in places]
            else:
                made = cast.values(
                    [attributes for place in places if (attributes := self.attributes[place]) is not None]
                )
            for place, value in zip(places, made, strict=True):
                values[place] = value
        return values

    def _places(self, count: int) -> dict[Cast | None, list[int]]:
        places: dict[Cast | None, list[int]] = {}
        for place, cast in enumerate(self.casts[:count]):
            places.setdefault(cast, []).append(place)
        return places

    def are_of(self, values: Sequence[Any]) -> bool:
        """Whether these are the images of so many values, as they are now."""
        if list(map(type, values)) != self.kinds or not self._deep_are_of(values):
            return False
        if len(self.deep) == len(values):
            return True
        if not all(map(_is_plain_model, set(self.kinds))):
            return all(each is not None and each.is_of(value) for each, value in zip(self.each, values, strict=True))
        attributes: list[Any] = [value.__dict__ for value in values]
        extras: list[Any] = [value.__pydantic_extra__ for value in values]
        for place in self.deep:
            attributes[place] = extras[place] = None
        return attributes == self.attributes and extras == self.extras

    def settled(self, count: int) -> int:
        """How many of the first so many are compared as quickly as they can be: the next was not laid out then."""
        for place in self.deep:
            each = self.each[place] if place < count else None
            if each is not None and each.is_flat:
                return place
        return count

    def _deep_are_of(self, values: Sequence[Any]) -> bool:
        for place in self.deep:
            each = self.each[place]
            if each is None or not each.is_of(values[place]):
                return False
        return True


def _is_flat(value: Any) -> bool:
    return value is None or type(value) is str or (type(value) in _EMPTY and not value)


def _copied(value: Any) -> Any:
    return value if type(value) in _SCALARS else _maker(value)()


def _maker(value: Any) -> Callable[[], Any]:
    """What makes a value like this one again, sharing nothing with it."""
    if type(value) in _EMPTY and not value:
        return _EMPTY[type(value)]
    return partial(marshal.loads, marshal.dumps(value, _VERSION))


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

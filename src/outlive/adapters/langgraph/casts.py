"""Many values of one class made at once: step by step over all of them, each step a loop of the interpreter's own.

A thousand messages made one by one take most of their time in the interpreter; in steps, little but their memory.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any
from weakref import WeakValueDictionary

from pydantic import BaseModel

# As pydantic's own `__setstate__` does it, past its `__setattr__`.
_set_dict, _set_extra, _set_fields, _set_private = (
    vars(BaseModel)[name].__set__
    for name in ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")
)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Cast:
    """What models of one class have in common besides text; those with the same have the same one."""

    kind: type[Any]
    fields: frozenset[str]
    """Those that were set."""
    empties: tuple[tuple[str, type[Any]], ...]
    """The attributes that hold something empty, and of which type."""
    has_extra: bool
    """Whether something may be added to the fields; nothing was."""
    nothing: dict[str, Any] = field(init=False)
    """The empty attributes of an image, which are nobody's value."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nothing", {name: kind() for name, kind in self.empties})

    def attributes(self, value: Any) -> dict[str, Any]:
        """The attributes of a model as they are now: what is empty in it may be filled later, and isn't here."""
        return {**value.__dict__, **self.nothing}

    def values(self, attributes: Sequence[dict[str, Any]]) -> list[Any]:
        """New values, one for each of these attributes, which hold nothing else that can be changed."""
        count = len(attributes)
        states = list(map(dict.copy, attributes))
        for name, kind in self.empties:
            _each(dict.__setitem__, states, repeat(name), _copies(kind, count))
        values = list(map(object.__new__, repeat(self.kind, count)))
        _each(_set_dict, values, states)
        _each(_set_extra, values, _copies(dict, count) if self.has_extra else repeat(None))
        _each(_set_fields, values, map(set, repeat(self.fields, count)))
        _each(_set_private, values, repeat(None))
        return values


def given_state(
    kind: type[Any], attributes: dict[str, Any], extra: dict[str, Any] | None, fields: Iterable[str]
) -> Any:
    """A new model with this state, and with these of its fields set."""
    make: Any = kind.__new__
    value = make(kind)
    _set_dict(value, attributes)
    _set_extra(value, extra)
    _set_fields(value, set(fields))
    _set_private(value, None)
    return value


_CASTS: WeakValueDictionary[tuple[object, ...], Cast] = WeakValueDictionary()


def cast_for(
    kind: type[Any], fields: frozenset[str], empties: tuple[tuple[str, type[Any]], ...], *, has_extra: bool
) -> Cast | None:
    """The cast of such models; None where the class makes its instances in a way of its own."""
    made_by: object = kind.__new__
    if made_by is not object.__new__:
        return None
    key = (kind, fields, empties, has_extra)
    found = _CASTS.get(key)
    if found is None:
        found = _CASTS[key] = Cast(kind, fields, empties, has_extra)
    return found


@contextmanager
def uncollected() -> Iterator[None]:
    """Make many values without the collector of garbage passing over them again and again.

    A thousand messages are eight thousand containers, of which none is garbage: each collection in their midst keeps
    all of them as older ones, and soon goes over everything that the process has.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _each(do: Callable[..., object], *columns: Iterable[Any]) -> None:
    deque(map(do, *columns), maxlen=0)


def _copies(kind: type[Any], count: int) -> Iterator[Any]:
    return map(kind.copy, repeat(kind(), count))

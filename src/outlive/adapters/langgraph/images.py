"""Values as plain bytes of their state: to tell that one hasn't changed, and to make it again without validating it.

A graph hands its saver the whole list of messages with each checkpoint, and each of its runs begins by loading it.
Serializing a thousand messages takes ten milliseconds or more, validating them three times that. Their state as
bytes takes one: it is the whole state, nested containers included, so a message that was changed in place is told
from one that wasn't, and a value that is made again shares nothing with the one before.

What has no such image (objects within objects, subclasses of the builtin types, private attributes) is serialized
and validated each time.

Source: CPython documentation, `marshal`: version 2 neither interns nor refers back, equal state gives equal bytes.
"""

from __future__ import annotations

import marshal
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

_VERSION = 2
_BUILTIN = frozenset({str, bytes, int, float, bool, type(None), list, tuple, dict})


@dataclass(frozen=True, slots=True)
class Image:
    """The state of a value of a class; `fields` are those of a model that were set."""

    kind: type[Any]
    state: bytes
    fields: frozenset[str] = frozenset()

    def value(self) -> Any:
        """A new value with this state."""
        state = marshal.loads(self.state)  # noqa: S302 - bytes that were made here, in this process
        if self.kind in _BUILTIN:
            return state
        kind: Any = self.kind
        made = kind.__new__(kind)
        attributes, extra = state
        made.__setstate__(
            {
                "__dict__": attributes,
                "__pydantic_extra__": extra,
                "__pydantic_fields_set__": set(self.fields),
                "__pydantic_private__": None,
            }
        )
        return made

    def shows(self, other: Image | None) -> bool:
        """Whether the two are of one class and have the same state."""
        return other is not None and self.kind is other.kind and self.state == other.state


def image(value: Any) -> Image | None:
    """The image of a value as it is now, None if it has none."""
    kind = type(value)
    try:
        if kind in _BUILTIN:
            return Image(kind, marshal.dumps(value, _VERSION))
        if isinstance(value, BaseModel) and value.__pydantic_private__ is None:
            state = marshal.dumps((value.__dict__, value.__pydantic_extra__), _VERSION)
            return Image(kind, state, frozenset(value.__pydantic_fields_set__))
    except ValueError:
        pass
    return None

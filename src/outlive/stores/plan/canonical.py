"""One text for each request to a language model, however it was written down.

Two requests are the same if model, prompt and parameters are the same values of JSON: the order of keys says nothing,
a tuple is a list, and 1.0 is the number 1. True is not 1, and no text is another one that looks like it.

Invariant: two requests have the same text if, and only if, they are the same.
"""

from __future__ import annotations

import json


def canonical(model: str, prompt: object, parameters: object) -> str:
    """The text of a request whose parts are values of JSON."""
    request = _normal([model, prompt, parameters])
    return json.dumps(request, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def _normal(value: object) -> object:
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _normal(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_normal(inner) for inner in value]
        case _:
            return value

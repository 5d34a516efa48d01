"""`${NAME}` in text, filled in from values; what has no value stays as it is, for the host to fill in."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with every placeholder replaced that `values` knows; a value is not looked into again."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)

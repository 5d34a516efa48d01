"""The right word for a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable


def hint(word: str, known: Iterable[str], otherwise: str) -> str:
    """A sentence that names the known word nearest to `word`; `otherwise`, where none is near."""
    # Only an error needs it, and every program would pay for it at its start.
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), sorted(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else otherwise

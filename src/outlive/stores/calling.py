"""Calling what a caller gave: a function, or a coroutine function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


async def called(fn: Callable[..., Any], *args: Any) -> Any:
    """What `fn(*args)` returns, once it is there."""
    found = fn(*args)
    return await found if inspect.isawaitable(found) else found

"""Waiting for the driver without letting a cancelled task disturb it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uninterrupted(coroutine: Coroutine[Any, None, T], interrupted: Callable[[], None]) -> T:
    """A driver call run to its end even if the task is cancelled, which `interrupted` is told.

    A cancelled call would make the driver send a CancelRequest, which in a COMMIT cuts short the wait for the
    standby. This steps the coroutine by hand and shields each future that it waits for, which costs no task.
    """
    while True:
        try:
            waited_for = coroutine.send(None)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        while not waited_for.done():
            try:
                await asyncio.shield(waited_for)
            except asyncio.CancelledError:
                if not waited_for.cancelled():
                    interrupted()
            except Exception:  # noqa: S110 - the coroutine raises it at its next step
                pass

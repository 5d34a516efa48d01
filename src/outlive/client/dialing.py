"""Connecting with a driver that can't be cancelled at every moment.

In the turns of the event loop in which a TCP connection has just been made, the driver's connect holds a future that
nobody else knows. Cancelled right then, it leaves it behind with an exception in it, and asyncio complains on standard
error of one that was never retrieved. So a cancellation waits until the connect has waited for one and the same thing
for a few turns, which those moments don't last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

SETTLED_TURNS = 3
"""Turns of the event loop; a transport takes two from being made to being handed over."""


async def dialed(connecting: Coroutine[Any, Any, Any]) -> Any:
    """The connection that the driver's `connecting` makes; cancelled only where it leaves nothing behind."""
    cancelled = False
    while True:
        try:
            waited_for = connecting.send(None)
        except StopIteration as stop:
            if not cancelled:
                return stop.value
            stop.value.terminate()
            raise asyncio.CancelledError from None
        except Exception as error:
            if not cancelled:
                raise
            # It failed in the turns for which the cancellation waited, and whoever cancelled waits for the task's end.
            raise asyncio.CancelledError from error
        if waited_for is None:
            cancelled |= await _turns(1)
        elif cancelled or await _was_cancelled(waited_for):
            cancelled = True
            await _turns(SETTLED_TURNS)
            waited_for.cancel()  # does nothing to one that is done


async def _was_cancelled(future: asyncio.Future[Any]) -> bool:
    """Wait for the future; whether the waiting was cancelled."""
    future._asyncio_future_blocking = False  # noqa: SLF001 - as a task does that takes it
    try:
        await asyncio.wait((future,))
    except asyncio.CancelledError:
        return True
    return False


async def _turns(count: int) -> bool:
    """Let so many turns of the event loop pass, whether or not the task is cancelled meanwhile."""
    cancelled = False
    for _ in range(count):
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            cancelled = True
    return cancelled

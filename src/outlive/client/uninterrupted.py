"""Waiting for the driver without letting a cancelled task disturb it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


async def uninterrupted(coroutine: Coroutine[Any, None, T], interrupted: Callable[[], None]) -> T:
    """A driver call run to its end even if the task is cancelled, which `interrupted` is told.

    A cancelled call would make the driver send a CancelRequest, which in a COMMIT cuts short the wait for the
    standby. This steps the coroutine by hand and waits for each future that it waits for, deaf to cancellation.
    """
    while True:
        try:
            waited_for = coroutine.send(None)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        while not waited_for.done():
            try:  # noqa: SIM105 - `suppress` takes a microsecond more
                await _Deaf(waited_for, interrupted)
            except (Exception, asyncio.CancelledError):  # noqa: S110 - the coroutine raises it at its next step
                pass


class _Deaf:
    """A future, but that whoever cancels it is heard by `interrupted` alone.

    `asyncio.shield` does the same with a second future, whose end takes another turn of the event loop: a tenth of
    a short commit. A task waits for whatever has these three methods and this attribute.

    Source: Python documentation, "asyncio.isfuture".
    """

    __slots__ = ("_asyncio_future_blocking", "_future", "_interrupted")

    def __init__(self, future: asyncio.Future[Any], interrupted: Callable[[], None]) -> None:
        self._asyncio_future_blocking = True
        self._future = future
        self._interrupted = interrupted

    def __await__(self) -> Generator[_Deaf, None, None]:
        # As good as a generator of our own, and quicker.
        return iter((self,))  # type: ignore[return-value]

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        self._future.add_done_callback(callback, context=context)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the word that the caller may give
        self._interrupted()
        return True

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._future.get_loop()
